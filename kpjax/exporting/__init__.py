"""Predictors that run without this library: a compiled function, its weights and their description in one folder."""
