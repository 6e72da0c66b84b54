"""Compiled text, as the compiler of TPUs printed it for four chips: pixels gathered, convolved, a loop of five, its
gradient."""
from pathlib import Path

import pytest

from experiments.planning.chips import slice_of
from experiments.planning.estimate import costs_of
from experiments.planning.hlo import Array, Frame, arrays_of, read_program, rows_of

PROGRAM = read_program(Path(__file__).with_name("tpu_step.hlo").read_text(encoding="utf-8"))


def executed(kind):
    return [(operation, times) for operation, _, times in PROGRAM.executed() if operation.kind == kind]


def test_a_type_is_read_with_its_memory():
    assert arrays_of("f32[4,64,3]{2,1,0:T(8,128)}") == (Array("f32", (4, 64, 3), False),)
    pair = arrays_of("(bf16[8]{0:T(128)S(1)}, /*index=1*/s32[]{:T(128)})")
    assert [one.bytes for one in pair] == [0.0, 4.0]  # the first lies in the chip's own memory
    assert pair[0].numbers == 8


def test_an_all_reduce_of_the_gradient_ends_the_step():
    (operation, times), = [(operation, times) for operation, _, times in PROGRAM.executed() if operation.collective]
    assert (operation.kind, operation.results[0].shape, times) == ("all-reduce", (3, 3, 3, 16), 1)
    assert operation.path == "jit(loss)/transpose(jvp())/conv_general_dilated"
    assert operation.cycles is None


def test_bodies_of_loops_run_as_often_as_their_counter_says():
    loops = executed("while")
    assert len(loops) == 2
    assert {PROGRAM.trips(operation) for operation, _ in loops} == {5}
    assert 5 in {times for operation, times in executed("fusion")}


@pytest.mark.parametrize(("start", "limit", "trips"), [("0", "data", 1), ("1", "data", 0), ("1", "five", 5)])
def test_a_loop_whose_length_data_decide_ends_at_one(start, limit, trips):
    program = read_program(f"""HloModule loop
%more (state: (s32[], f32[8], s32[])) -> pred[] {{
  %state = (s32[], f32[8], s32[]) parameter(0)
  %five = s32[] constant(5)
  %counter = s32[] get-tuple-element(%state), index=0
  %data = s32[] get-tuple-element(%state), index=2
  ROOT %less = pred[] compare(%counter, %{limit}), direction=LT
}}
%turn (state.1: (s32[], f32[8], s32[])) -> (s32[], f32[8], s32[]) {{
  %state.1 = (s32[], f32[8], s32[]) parameter(0)
  ROOT %same = (s32[], f32[8], s32[]) copy(%state.1)
}}
ENTRY %main (total: f32[8], length: s32[]) -> (s32[], f32[8], s32[]) {{
  %total = f32[8] parameter(0)
  %length = s32[] parameter(1)
  %number = s32[] constant({start})
  %first = s32[] copy(%number)
  %all = (s32[], f32[8], s32[]) tuple(%first, %total, %length)
  ROOT %loop = (s32[], f32[8], s32[]) while(%all), condition=%more, body=%turn
}}
""")
    assert [times for operation, _, times in program.executed() if operation.name == "same"] == [trips]


def test_stacks_name_files_and_functions_from_the_outermost():
    operation = next(operation for operation, _ in executed("while"))
    assert PROGRAM.files(operation)[-1].function == "loss"
    assert PROGRAM.files(operation)[0] == Frame("step.py", "<module>")


def test_gathers_inside_of_fusions_are_found_with_their_rows():
    found = [rows for name, part in PROGRAM.computations.items() for one in part.values()
             if (rows := rows_of(PROGRAM, name, one)) and rows.kind == "gather"]
    assert found[0][:3] == ("gather", 4 * 4096, 3)
    assert found[0].single(4 * 4096)
    assert not found[0].single(4 * 4096 + 1)


def test_costs_have_every_part_once():
    slice_ = slice_of("v5e-4")
    costs = costs_of(PROGRAM, slice_, {"forward": 197e12}, 4096)
    assert costs.collectives == 1
    assert costs.collective_bytes == 3 * 3 * 3 * 16 * 4
    assert costs.parts["forward"].flops == 197e12
    assert costs.dearest[0].seconds == max(one.seconds for one in costs.dearest)
    assert [one.rows for one in costs.gathers if one.single_pixels] == [4 * 4096]
    cycles = sum(times * operation.cycles for operation, _, times in PROGRAM.executed() if operation.cycles)
    estimated = sum(part.seconds - part.ruled for part in costs.parts.values())
    assert estimated == pytest.approx(cycles / slice_.chip.clock)


def test_a_text_without_an_entry_is_refused():
    with pytest.raises(ValueError, match="no entry"):
        read_program("HloModule nothing\n")
