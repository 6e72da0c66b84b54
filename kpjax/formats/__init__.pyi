from .project_source import (
    frames_at as frames_at,
    project_source as project_source,
    unlabelled_source as unlabelled_source,
)
from .reading import read_project as read_project
