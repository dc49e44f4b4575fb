"""Right answers as people write them: each decoration makes, of an exercise's solution, the cells
of a notebook that holds the same answer in another form.

A decoration takes an `Answer` and returns the cells that stand before the notebook's check of it.
"""

from dataclasses import dataclass

from grading_for_tests import solutions

from labkit.course.handout.pristine_course import pristine_cells
from labkit.course.handout.student_copy import exercise_ids
from labkit.course.judges.registry import exercises_of
from labkit.course.slicing.notebook_slice import BUILTINS, statements_of


@dataclass(frozen=True)
class Answer:
    id: str
    function: str
    solution: str  # the cell, its comment included

    @property
    def header(self):
        return self.solution.partition("\n")[0]

    @property
    def tag(self):
        """A part of names that no other exercise's cells use."""
        return self.id.replace(".", "_")

    def renamed(self, name):
        """The solution as a helper of another name, without the comment."""
        code = self.solution.partition("\n")[2]
        assert f"def {self.function}(" in code
        return code.replace(f"def {self.function}(", f"def {name}(")

    def course_names(self):
        """All names that the course's notebook binds, but for what checks and answers need."""
        number = int(self.id.partition(".")[0])
        bound = {name for cell in pristine_cells(number) for name in global_names(cell)[0]}
        needed = {
            name for cell in solutions(number).values() for name in set.union(*global_names(cell))
        }
        return sorted(bound - needed - {"check", "check_notebook"})

    def chain(self):
        """The solution as a helper, called by one of each of these names, which call each other."""
        names = self.course_names()
        calls = (
            f"def {name}(*args, **kwargs):\n    return {following}(*args, **kwargs)\n"
            for name, following in zip(names, names[1:])
        )
        return "\n".join([self.renamed(names[-1]), *calls])

    def calling(self, name, first=""):
        """A cell that answers by calling the helper."""
        lines = "".join(f"    {line}\n" for line in first.split("\n") if line)
        head = f"{self.header}\ndef {self.function}(*args, **kwargs):\n"
        return f"{head}{lines}    return {name}(*args, **kwargs)\n"


def global_names(source):
    """The names that a cell binds, and those that it reads."""
    statements = statements_of(source)
    bound = (one.binds | one.later_binds for one in statements)
    read = (one.uses | one.later_uses for one in statements)
    return set().union(*bound) - BUILTINS, set().union(*read)


DECORATIONS = {}
IMPORTS = "from labkit.course import"  # in the cell of a notebook that imports what it uses


def decoration(make):
    DECORATIONS[make.__name__] = make
    return make


def before(name, code):
    """A decoration that puts `code` between the comment and the function."""
    DECORATIONS[name] = lambda a: [a.solution.replace("\n", f"\n{code}\n", 1)]


def after(name, code):
    """A decoration that puts `code` below the function, in the same cell."""
    DECORATIONS[name] = lambda a: [f"{a.solution}\n{code.replace('FUNCTION', a.function)}\n"]


def above(name, code):
    """A decoration that puts `code` into a cell above, which does not matter."""
    DECORATIONS[name] = lambda a: [code, a.solution]


def helper_called(name):
    """A decoration: the work is done by a helper of that name, in a cell above."""
    DECORATIONS[f"a helper called {name}"] = lambda a: [a.renamed(name), a.calling(name)]


# ---- names that something else has already -------------------------------------------------------

for helper in (
    "options",
    "count",
    "stats",
    "course",
    "REPOSITORY",
    "id",
    "input",
    "vars",
    "filter",
):
    helper_called(helper)


@decoration
def helpers_called_like_everything_of_the_course(a):
    return [a.chain(), a.calling(a.course_names()[0])]


@decoration
def helpers_called_like_everything_of_the_course_below_the_answer(a):
    return [a.calling(a.course_names()[0]), a.chain()]


@decoration
def helpers_called_like_everything_of_the_course_in_the_cell(a):
    return [f"{a.calling(a.course_names()[0])}\n{a.chain()}"]


@decoration
def a_helper_below_the_answer(a):
    return [a.calling(f"below_{a.tag}"), a.renamed(f"below_{a.tag}")]


@decoration
def a_helper_called_options_below_the_answer(a):
    return [a.calling("options"), a.renamed("options")]


@decoration
def a_helper_in_the_cell_with_the_comment_and_the_answer_in_the_next(a):
    answer = a.calling(f"first_{a.tag}").partition("\n")[2]
    return [f"{a.header}\n{a.renamed(f'first_{a.tag}')}", answer]


@decoration
def helper_and_answer_in_two_cells_with_the_comment(a):
    return [f"{a.header}\n{a.renamed(f'both_{a.tag}')}", a.calling(f"both_{a.tag}")]


@decoration
def the_comment_in_a_cell_of_its_own(a):
    return [a.header, a.solution.partition("\n")[2]]


@decoration
def no_comment(a):
    return [a.solution.partition("\n")[2]]


@decoration
def another_form_of_the_comment(a):
    return [f"##  exercise {a.id}: mine\n" + a.solution.partition("\n")[2]]


@decoration
def a_wrong_attempt_above(a):
    return [f"{a.header}\ndef {a.function}(*args, **kwargs):\n    return None", a.solution]


@decoration
def the_unsolved_cell_above(a):
    stub = f"{a.header}\ndef {a.function}(*args, **kwargs):\n    raise NotImplementedError"
    return [stub, a.solution]


# ---- state outside of the function ---------------------------------------------------------------


@decoration
def a_global_counter(a):
    name = f"calls_{a.tag}"
    count = f"global {name}\n{name} += 1"
    return [f"{name} = 0", a.renamed(f"work_{a.tag}"), a.calling(f"work_{a.tag}", count)]


@decoration
def a_global_counter_in_the_cell(a):
    name = f"calls_{a.tag}"
    answer = a.calling(f"work_{a.tag}", f"global {name}\n{name} += 1")
    return [f"{answer}\n{name} = 0\n{a.renamed(f'work_{a.tag}')}"]


@decoration
def a_table_filled_step_by_step(a):
    name = f"table_{a.tag}"
    steps = f"{name} = {{}}\nfor key in 'abc':\n    {name}[key] = 1\n{name}.update(d=1)"
    check = f"assert sum({name}.values()) == 4 and len({name}) == 4"
    return [steps, a.renamed(f"work_{a.tag}"), a.calling(f"work_{a.tag}", check)]


@decoration
def a_table_filled_by_a_function(a):
    name = f"filled_{a.tag}"
    steps = f"{name} = []\ndef fill_{a.tag}():\n    {name}.append(1)\nfill_{a.tag}()"
    check = f"assert {name} == [1]"
    return [steps, a.renamed(f"work_{a.tag}"), a.calling(f"work_{a.tag}", check)]


@decoration
def a_function_that_sets_a_global(a):
    name = f"ready_{a.tag}"
    steps = f"def prepare_{a.tag}():\n    global {name}\n    {name} = True\nprepare_{a.tag}()"
    return [steps, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", f"assert {name}")]


@decoration
def a_function_of_a_function_sets_a_global(a):
    name, tag = f"deep_{a.tag}", a.tag
    inner = f"def inner_{tag}():\n    global {name}\n    {name} = True"
    steps = f"{inner}\ndef outer_{tag}():\n    inner_{tag}()\nouter_{tag}()"
    return [steps, a.renamed(f"w_{tag}"), a.calling(f"w_{tag}", f"assert {name}")]


@decoration
def a_table_filled_by_a_comprehension(a):
    name = f"filled_{a.tag}"
    steps = f"{name} = []\n[{name}.append(i) for i in range(3)]"
    return [steps, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", f"assert {name} == [0, 1, 2]")]


@decoration
def an_object_changed_by_calls_with_a_value(a):
    name = f"queue_{a.tag}"
    steps = f"{name} = [1, 2, 3]\nfirst_{a.tag} = {name}.pop(0)"
    return [steps, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", f"assert {name} == [2, 3]")]


@decoration
def names_made_of_texts(a):
    steps = f"part_{a.tag}_1 = 3\npart_{a.tag}_2 = 4"
    use = f"assert sum(globals()[f'part_{a.tag}_{{i}}'] for i in (1, 2)) == 7"
    return [steps, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_file_written_by_a_function(a):
    path = f"saved_{a.tag}.txt"
    save = f"def save_{a.tag}():\n    with open('{path}', 'w') as file:\n        file.write('7')"
    use = f"assert open('{path}').read() == '7'"
    return [f"{save}\nsave_{a.tag}()", a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_cache(a):
    memo = f"memo_{a.tag}"
    return [f"{memo} = {{}}", a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", f"{memo}['n'] = 1")]


@decoration
def a_star_import(a):
    return [
        "from math import *",
        a.renamed(f"w_{a.tag}"),
        a.calling(f"w_{a.tag}", "assert floor(1.5) == 1 and pi > 3"),
    ]


@decoration
def a_patched_method(a):
    patch = "import torch\ndef itself(self):\n    return self\ntorch.Tensor.itself = itself"
    use = "x = __import__('torch').ones(1)\nassert x.itself() is x"
    return [patch, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_patched_class_of_labkits(a):
    patch = "from labkit import Arch\nsetattr(Arch, 'twice', lambda self: (self, self))"
    use = "from labkit import get_space\nassert len(get_space('fmnist').smallest().twice()) == 2"
    return [patch, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_name_defined_by_exec(a):
    source = a.renamed(f"w_{a.tag}")
    return [f"exec({source!r})", a.calling(f"w_{a.tag}")]


@decoration
def a_name_put_into_globals(a):
    put = f"globals()['w_{a.tag}'] = inner_{a.tag}"
    return [a.renamed(f"inner_{a.tag}"), put, a.calling(f"w_{a.tag}")]


@decoration
def a_helper_redefined_below(a):
    name = f"w_{a.tag}"
    return [f"def {name}(*args, **kwargs):\n    return None", a.calling(name), a.renamed(name)]


@decoration
def the_function_wrapped_afterwards(a):
    wrap = f"def counted_{a.tag}(f):\n    return lambda *args, **kwargs: f(*args, **kwargs)"
    return [wrap, a.solution, f"{a.function} = counted_{a.tag}({a.function})"]


@decoration
def an_import_in_a_cell_below(a):
    use = "assert statistics.mean([1, 3]) == 2"
    return [a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use), "import statistics"]


@decoration
def a_loop_variable_of_an_earlier_cell(a):
    answer = a.calling(f"w_{a.tag}", "assert step == 2")
    return ["for step in range(3):\n    pass", a.renamed(f"w_{a.tag}"), answer]


@decoration
def names_unpacked_from_a_tuple(a):
    low, rest = f"low_{a.tag}", f"rest_{a.tag}"
    answer = a.calling(f"w_{a.tag}", f"assert {low} == 1 and {rest} == [2, 3]")
    return [f"({low}, *{rest}), high = (1, 2, 3), 4", a.renamed(f"w_{a.tag}"), answer]


@decoration
def a_module_written_by_a_cell(a):
    module = f"own_{a.tag}"
    code = "import numpy as np\nimport torch\nimport torch.nn.functional as F\n"
    return [
        f"%%writefile {module}.py\n{code}{a.renamed('helper')}",
        a.calling("helper", f"from {module} import helper"),
    ]


# ---- other forms of the function -----------------------------------------------------------------


@decoration
def a_lambda(a):
    call = f"{a.function} = lambda *args, **kwargs: w_{a.tag}(*args, **kwargs)"
    return [f"{a.header}\n{a.renamed(f'w_{a.tag}')}\n{call}"]


@decoration
def an_object_that_is_called(a):
    body = f"class Solver:\n    def __call__(self, *args, **kwargs):\n        return w_{a.tag}"
    return [
        a.renamed(f"w_{a.tag}"),
        f"{a.header}\n{body}(*args, **kwargs)\n{a.function} = Solver()",
    ]


@decoration
def a_static_method(a):
    method = f"def solve(*args, **kwargs):\n        return w_{a.tag}(*args, **kwargs)"
    call = f"class Course:\n    @staticmethod\n    {method}\n{a.function} = Course.solve"
    return [f"{a.header}\n{a.renamed(f'w_{a.tag}')}\n{call}"]


@decoration
def a_partial(a):
    partial = f"from functools import partial\n{a.function} = partial(w_{a.tag})"
    return [a.renamed(f"w_{a.tag}"), f"{a.header}\n{partial}"]


@decoration
def a_decorator_of_ones_own(a):
    decorator = (
        f"import functools\ndef traced_{a.tag}(f):\n    @functools.wraps(f)\n"
        "    def wrapper(*args, **kwargs):\n        return f(*args, **kwargs)\n    return wrapper"
    )
    return [decorator, a.solution.replace("\ndef ", f"\n@traced_{a.tag}\ndef ", 1)]


@decoration
def a_definition_inside_an_if(a):
    lines = a.solution.split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith("def "))
    inner = "\n".join(f"    {line}" for line in lines[first:])
    return ["\n".join([*lines[:first], "if True:", inner, "else:", f"    {a.function} = None"])]


@decoration
def an_import_that_may_fail(a):
    attempt = "try:\n    import no_such_module\nexcept ImportError:\n    no_such_module = None"
    use = "assert no_such_module is None"
    return [attempt, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def threads(a):
    use = (
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(8) as pool:\n"
        "    assert list(pool.map(abs, [-1])) == [1]"
    )
    return [a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def sixteen_processes(a):
    use = (
        "from multiprocessing import Pool\nwith Pool(16) as pool:\n"
        "    assert pool.map(abs, range(-3, 0)) == [3, 2, 1]"
    )
    return [a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_shell_in_the_function(a):
    return [a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", "!echo hello")]


@decoration
def type_hints_and_a_docstring(a):
    hinted = a.solution.replace("):\n", ') -> "object":\n    """What is asked: ünïcode ✓."""\n', 1)
    return [f"from typing import Any\nhint: Any\nhint_{a.tag}: int = 3", hinted]


@decoration
def tabs(a):
    return [a.solution.replace("    ", "\t")]


# ---- what gives a value without naming it --------------------------------------------------------


@decoration
def annotations_that_mean_nothing(a):
    answer = a.calling(f"w_{a.tag}").replace("*args,", "*args: NoSuchType,", 1)
    return ["from __future__ import annotations", a.renamed(f"w_{a.tag}"), answer]


@decoration
def a_function_that_depends_on_a_type(a):
    first = f"from functools import singledispatch\n@singledispatch\ndef kind_{a.tag}(x): return 0"
    second = f"@kind_{a.tag}.register\ndef _(x: str): return 1"
    use = f"assert kind_{a.tag}('x') == 1 and kind_{a.tag}(0) == 0"
    return [first, second, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def helpers_in_a_table_by_a_decorator(a):
    table = f"TABLE_{a.tag} = {{}}"
    enter = f"def enter_{a.tag}(f):\n    TABLE_{a.tag}['work'] = f\n    return f"
    helper = a.renamed("of_no_name").replace("def of_no_name", f"@enter_{a.tag}\ndef of_no_name")
    return [f"{table}\n{enter}", helper, a.calling(f"TABLE_{a.tag}['work']")]


@decoration
def subclasses_that_enter_themselves(a):
    base = (
        f"class Base_{a.tag}:\n    known = []\n    def __init_subclass__(cls):\n"
        f"        Base_{a.tag}.known.append(cls)"
    )
    sub = f"class Sub_{a.tag}(Base_{a.tag}):\n    number = 3"
    use = f"assert [one.number for one in Base_{a.tag}.known] == [3]"
    return [base, sub, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_list_by_two_names(a):
    use = f"assert one_{a.tag} == [1, 2]"
    steps = f"one_{a.tag} = []\ntwo_{a.tag} = one_{a.tag}\ntwo_{a.tag}.append(1)"
    return [steps, f"two_{a.tag}.append(2)", a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_number_kept_with_the_function(a):
    count = f"{a.function}.calls += 1"
    return [a.renamed(f"w_{a.tag}"), f"{a.calling(f'w_{a.tag}', count)}\n{a.function}.calls = 0"]


@decoration
def a_variable_of_the_environment(a):
    use = f"import os\nassert os.environ['LAB_{a.tag}'] == 'yes'"
    return [f"%env LAB_{a.tag}=yes", a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_value_that_was_awaited(a):
    wait = f"import asyncio\nlater_{a.tag} = await asyncio.sleep(0, 7)"
    return [wait, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", f"assert later_{a.tag} == 7")]


@decoration
def a_file_written_by_a_cell(a):
    name = f"numbers_{a.tag}.json"
    write = f"import json\nwith open('{name}', 'w') as file:\n    json.dump([1, 2], file)"
    use = f"import json\nassert json.load(open('{name}')) == [1, 2]"
    return [write, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_folder_of_modules(a):
    module = f"package_{a.tag}"
    code = "import numpy as np\nimport torch\nimport torch.nn.functional as F\n"
    return [
        f"import os\nos.makedirs('{module}', exist_ok=True)",
        f"%%writefile {module}/helpers.py\n{code}{a.renamed('helper')}",
        a.calling("helper", f"from {module}.helpers import helper"),
    ]


@decoration
def a_folder_made_by_the_shell(a):
    folder = f"folder_{a.tag}"
    use = f"assert open('{folder}/number.txt').read() == '5'"
    write = f"from pathlib import Path\n_ = Path('{folder}/number.txt').write_text('5')"
    return [f"!mkdir -p {folder}", write, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def the_answer_imported_from_a_module(a):
    module = f"answer_{a.tag}"
    code = "import numpy as np\nimport torch\nimport torch.nn.functional as F\n"
    return [
        f"%%writefile {module}.py\n{code}{a.renamed(a.function)}",
        f"{a.header}\nfrom {module} import {a.function}",
    ]


@decoration
def a_script_that_is_run(a):
    script = f"script_{a.tag}.py"
    return [
        f"%%writefile {script}\n{a.renamed(f'w_{a.tag}')}",
        f"%run -i {script}",
        a.calling(f"w_{a.tag}"),
    ]


@decoration
def modules_that_are_loaded_again(a):
    return ["%load_ext autoreload\n%autoreload 2", a.solution]


@decoration
def comments_for_nbval(a):
    work = f"# NBVAL_SKIP\n{a.renamed(f'w_{a.tag}')}"
    call = a.calling(f"w_{a.tag}", f"assert limit_{a.tag} == 5")
    return [work, f"# NBVAL_RAISES_EXCEPTION\nlimit_{a.tag} = 5", call]


@decoration
def a_function_that_defines_it(a):
    inner = f"def define_{a.tag}():\n    global {a.function}\n    {a.function} = w_{a.tag}"
    return [f"{a.header}\n{a.renamed(f'w_{a.tag}')}\n{inner}\ndefine_{a.tag}()"]


@decoration
def globals_updated(a):
    return [a.renamed(f"w_{a.tag}"), f"{a.header}\nglobals().update({a.function}=w_{a.tag})"]


@decoration
def a_function_of_a_function(a):
    make = f"def make_{a.tag}():\n    return lambda *args, **kwargs: w_{a.tag}(*args, **kwargs)"
    return [a.renamed(f"w_{a.tag}"), f"{a.header}\n{make}\n{a.function} = make_{a.tag}()"]


@decoration
def a_method_of_an_object(a):
    body = f"class Solver_{a.tag}:\n    def solve(self, *args, **kwargs):\n        return w_{a.tag}"
    call = f"{a.function} = Solver_{a.tag}().solve"
    return [a.renamed(f"w_{a.tag}"), f"{a.header}\n{body}(*args, **kwargs)\n{call}"]


@decoration
def a_walrus(a):
    call = f"({a.function} := lambda *args, **kwargs: w_{a.tag}(*args, **kwargs))"
    return [a.renamed(f"w_{a.tag}"), f"{a.header}\n{call}"]


@decoration
def a_default_from_before(a):
    use = f"assert scale_of_{a.tag}() == 2"
    first = f"SCALE = 2\ndef scale_of_{a.tag}(scale=SCALE):\n    return scale"
    return [first, "SCALE = 9\ndel SCALE", a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_decorator_that_is_not_installed(a):
    attempt = (
        "try:\n    from numba_of_nobody import njit\nexcept ImportError:\n    njit = lambda f: f"
    )
    return [attempt, a.solution.replace("\ndef ", "\n@njit\ndef ", 1)]


@decoration
def letters_of_other_alphabets(a):
    use = f"assert 'π' and π_{a.tag} == 3"
    return [
        f"é = 'ü'; π_{a.tag} = 3; è = 'ß'",
        a.renamed(f"w_{a.tag}"),
        a.calling(f"w_{a.tag}", use),
    ]


@decoration
def a_progress_bar(a):
    use = "from tqdm.auto import tqdm\nfor step in tqdm(range(3)):\n    pass"
    return [a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def processes_that_load_data(a):
    use = (
        "import torch\ndata = torch.utils.data.DataLoader(list(range(4)), num_workers=2)\n"
        "assert sum(int(batch) for batch in data) == 6"
    )
    return [a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_cell_that_the_shell_runs(a):
    return [f"get_ipython().run_cell({a.renamed(f'w_{a.tag}')!r})", a.calling(f"w_{a.tag}")]


@decoration
def a_name_pushed_into_the_shell(a):
    push = f"shell = get_ipython()\nshell.push({{'w_{a.tag}': inner_{a.tag}}})"
    return [a.renamed(f"inner_{a.tag}"), push, a.calling(f"w_{a.tag}")]


@decoration
def a_file_written_by_another_shell(a):
    use = f"assert open('bash_{a.tag}.txt').read() == '5\\n'"
    write = f"%%bash\necho 5 > bash_{a.tag}.txt"
    return [write, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def another_working_folder(a):
    use = f"assert open('number_{a.tag}.txt').read() == '3'"
    write = f"with open('number_{a.tag}.txt', 'w') as file:\n    file.write('3')"
    return [
        f"!mkdir -p below_{a.tag}",
        f"%cd below_{a.tag}",
        write,
        a.renamed(f"w_{a.tag}"),
        a.calling(f"w_{a.tag}", use),
    ]


@decoration
def a_database_and_a_locked_file(a):
    use = (
        f"import fcntl, sqlite3\nwith open('lock_{a.tag}', 'w') as file:\n"
        f"    fcntl.flock(file, fcntl.LOCK_EX)\nbase = sqlite3.connect('calls_{a.tag}.db')\n"
        "with base:\n    base.execute('create table if not exists calls (n int)')\n"
        "    base.execute('insert into calls values (1)')\n"
        "assert base.execute('select count(*) from calls').fetchone()[0] > 0\nbase.close()"
    )
    return [a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_helper_put_into_builtins(a):
    put = f"import builtins\nbuiltins.w_{a.tag} = inner_{a.tag}"
    return [a.renamed(f"inner_{a.tag}"), put, a.calling(f"w_{a.tag}")]


@decoration
def a_helper_deleted_after_use(a):
    head = f"{a.header}\ndef {a.function}(*args, work=w_{a.tag}, **kwargs):\n"
    answer = f"{head}    return work(*args, **kwargs)\ndel w_{a.tag}"
    return [a.renamed(f"w_{a.tag}"), answer]


@decoration
def lines_that_end_as_on_windows(a):
    return [a.solution.replace("\n", "\r\n")]


# ---- other ways of Python's to say the same ------------------------------------------------------


@decoration
def a_class_as_a_decorator(a):
    begin = "    def __init__(self, f): self.f, self.calls = f, 0\n"
    call = "    def __call__(self, *args, **kwargs):"
    count = f"{begin}{call}\n        self.calls += 1\n        return self.f(*args, **kwargs)"
    return [
        f"class Counted_{a.tag}:\n{count}",
        a.solution.replace("\ndef ", f"\n@Counted_{a.tag}\ndef ", 1),
    ]


@decoration
def a_decorator_with_an_argument_from_a_table(a):
    table = f"made_{a.tag} = {{'plain': lambda times: lambda f: f}}"
    line = f"\n@made_{a.tag}['plain'](times=3)\ndef "
    return [table, a.solution.replace("\ndef ", line, 1)]


@decoration
def a_generator(a):
    head = f"def steps_{a.tag}(*args, **kwargs):\n    yield 'begun'"
    steps = f"{head}\n    yield w_{a.tag}(*args, **kwargs)"
    return [
        a.renamed(f"w_{a.tag}"),
        steps,
        a.calling(f"(lambda *a, **k: [*steps_{a.tag}(*a, **k)][1])"),
    ]


@decoration
def a_generator_that_returns(a):
    steps = (
        f"def inner_{a.tag}(*args, **kwargs):\n    yield\n    return w_{a.tag}(*args, **kwargs)\n"
        f"def outer_{a.tag}(*args, **kwargs):\n"
        f"    kept = yield from inner_{a.tag}(*args, **kwargs)\n"
        "    yield kept"
    )
    return [
        a.renamed(f"w_{a.tag}"),
        steps,
        a.calling(f"(lambda *a, **k: [*outer_{a.tag}(*a, **k)][1])"),
    ]


@decoration
def a_walrus_in_the_function(a):
    first = (
        f"if (limit := 3) < (other := limit + 1) and (work := w_{a.tag}) is None:\n    return other"
    )
    return [a.renamed(f"w_{a.tag}"), a.calling("work", first)]


@decoration
def a_coroutine(a):
    later = f"async def later_{a.tag}(*args, **kwargs):\n    return w_{a.tag}(*args, **kwargs)"
    drive = (
        f"def drive_{a.tag}(*args, **kwargs):\n    try:\n"
        f"        later_{a.tag}(*args, **kwargs).send(None)\n"
        "    except StopIteration as end:\n        return end.value"
    )
    return [a.renamed(f"w_{a.tag}"), later, f"{drive}\n{a.calling(f'drive_{a.tag}')}"]


@decoration
def an_event_loop_in_a_thread(a):
    later = f"import asyncio\nasync def later_{a.tag}(*args, **kwargs):\n    await asyncio.sleep(0)"
    use = (
        f"import threading\nkept = []\nrun = lambda: kept.append(asyncio.run(later_{a.tag}()))\n"
        "thread = threading.Thread(target=run)\nthread.start()\nthread.join()\n"
        "assert kept == [None]"
    )
    return [later, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_dataclass(a):
    body = (
        f"from dataclasses import dataclass, field\nDEFAULT_{a.tag} = 5\n@dataclass(frozen=True)\n"
        f"class Problem_{a.tag}:\n    args: tuple\n    kwargs: dict = field(default_factory=dict)\n"
        f"    limit: int = DEFAULT_{a.tag}\n    def solve(self):\n        assert self.limit == 5\n"
        f"        return w_{a.tag}(*self.args, **self.kwargs)"
    )
    call = f"(lambda *args, **kwargs: Problem_{a.tag}(args, kwargs).solve())"
    return [a.renamed(f"w_{a.tag}"), body, a.calling(call)]


@decoration
def an_enumeration_and_a_named_tuple(a):
    kinds = (
        f"from enum import Enum, auto\nfrom typing import NamedTuple\nclass Kind_{a.tag}(Enum):\n"
        f"    ONE = auto()\n    TWO = auto()\nclass Pair_{a.tag}(NamedTuple):\n"
        f"    kind: Kind_{a.tag}\n    size: int = 2"
    )
    use = f"pair = Pair_{a.tag}(Kind_{a.tag}.TWO)\nassert pair.kind.value == pair.size == 2"
    return [kinds, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_generic_class_and_a_protocol(a):
    types = (
        f"from typing import Generic, Protocol, TypeVar\nT_{a.tag} = TypeVar('T_{a.tag}')\n"
        f"class Box_{a.tag}(Generic[T_{a.tag}]):\n    def __init__(self, item: T_{a.tag}):\n"
        "        self.item = item"
    )
    use = f"assert Box_{a.tag}[int](3).item == 3"
    return [types, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def functions_in_functions(a):
    first = (
        "calls = 0\ndef outer(f):\n    def inner(*args, **kwargs):\n        nonlocal calls\n"
        "        calls += 1\n        return f(*args, **kwargs)\n    return inner\n"
        f"work = outer(w_{a.tag})"
    )
    return [a.renamed(f"w_{a.tag}"), a.calling("work", first)]


@decoration
def a_match(a):
    first = f"match [1, 2]:\n    case [1, rest] if rest == 2:\n        work = w_{a.tag}"
    return [a.renamed(f"w_{a.tag}"), a.calling("work", first)]


@decoration
def a_context_manager(a):
    manager = (
        "from contextlib import ExitStack, contextmanager\n@contextmanager\n"
        f"def opened_{a.tag}():\n    yield w_{a.tag}"
    )
    first = f"stack = ExitStack()\nwork = stack.enter_context(opened_{a.tag}())"
    return [a.renamed(f"w_{a.tag}"), manager, a.calling("work", first)]


@decoration
def a_global_that_is_new(a):
    name = f"last_{a.tag}"
    return [a.renamed(f"w_{a.tag}"), a.calling(name, f"global {name}\n{name} = w_{a.tag}")]


@decoration
def a_star_import_of_ones_own(a):
    module = f"starred_{a.tag}"
    code = "import numpy as np\nimport torch\nimport torch.nn.functional as F\n"
    write = f"%%writefile {module}.py\n{code}{a.renamed(f'w_{a.tag}')}"
    return [write, f"from {module} import *", a.calling(f"w_{a.tag}")]


@decoration
def a_constant_below_the_answer(a):
    answer = a.calling(f"w_{a.tag}", f"assert LIMIT_{a.tag} == {{'a': 5}}")
    return [a.renamed(f"w_{a.tag}"), answer, f"LIMIT_{a.tag} = {{'a': 5}}"]


@decoration
def a_helper_of_the_notebook_imported(a):
    return [a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", f"from __main__ import w_{a.tag}")]


@decoration
def the_notebook_as_a_module(a):
    use = f"import sys\nwork = sys.modules['__main__'].w_{a.tag}"
    return [a.renamed(f"w_{a.tag}"), a.calling("work", use)]


@decoration
def the_shells_names(a):
    use = f"work = get_ipython().user_ns['w_{a.tag}']"
    return [a.renamed(f"w_{a.tag}"), a.calling("work", use)]


@decoration
def the_frames_names(a):
    use = f"import inspect\nwork = inspect.currentframe().f_globals['w_{a.tag}']"
    return [a.renamed(f"w_{a.tag}"), a.calling("work", use)]


@decoration
def a_helper_by_eval(a):
    return [a.renamed(f"w_{a.tag}"), a.calling(f"eval('w_' + {a.tag!r})")]


@decoration
def letters_that_python_takes_for_others(a):
    wide = chr(ord(a.function[0]) + 0xFEE0)  # the full-width form of a letter
    answer = a.solution.replace(f"def {a.function[0]}", f"def {wide}", 1)
    return ["ﬁne = 3", answer, "assert fine == 3"]


@decoration
def the_value_of_a_cell(a):
    use = f"assert value_{a.tag} == 42"
    return ["41 + 1", f"value_{a.tag} = _", a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def tables_filled_in_every_way(a):
    name = f"table_{a.tag}"
    steps = [
        f"import heapq, operator, random\n{name} = {{}}\nqueue_{a.tag} = []",
        f"{name}.setdefault('a', []).append(1)",
        f"operator.setitem({name}, 'b', 2)\ndict.update({name}, c=3)",
        f"try:\n    {name}['d'] = 4\nfinally:\n    heapq.heappush(queue_{a.tag}, 5)",
        f"{name}['e'], other = 5, 6\n{name} |= {{'f': 6}}",
    ]
    use = f"assert len({name}) == 6 and queue_{a.tag} == [5]"
    return [*steps, a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


@decoration
def a_method_added_in_another_cell(a):
    solver = f"Solver_{a.tag}"
    return [
        f"class {solver}:\n    pass",
        a.renamed(f"w_{a.tag}"),
        f"{solver}.solve = staticmethod(w_{a.tag})\n{solver}.limit = 1\n{solver}.limit += 1",
        a.calling(f"{solver}.solve", f"assert {solver}.limit == 2"),
    ]


@decoration
def a_definition_for_a_script(a):
    helper = "\n".join(f"    {line}" for line in a.renamed(f"w_{a.tag}").split("\n"))
    return [f"if __name__ == '__main__':\n{helper}", a.calling(f"w_{a.tag}")]


@decoration
def a_profiled_cell(a):
    return [f"%%prun -q\n{a.renamed(f'w_{a.tag}')}", a.calling(f"w_{a.tag}")]


@decoration
def two_magics_of_one_cell(a):
    return [f"%%capture --no-stderr out_{a.tag}\n%%time\n{a.solution}"]


@decoration
def double_precision_unless_told_otherwise(a):
    return ["import torch\ntorch.set_default_dtype(torch.float64)", a.solution]


@decoration
def warnings_that_are_errors(a):
    return ["import warnings\nwarnings.simplefilter('error')", a.solution]


@decoration
def logging_and_other_outputs(a):
    use = (
        "import logging, sys\nlogging.basicConfig(level=logging.DEBUG)\nlogging.warning('here')\n"
        "print('there', file=sys.stderr)\nsys.stdout.write('and there')\nsys.stdout.flush()"
    )
    return [a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}", use)]


for helper in ("globals", "call_answer", "sys", "get_ipython_", "labkit", "In", "exercise"):
    helper_called(helper)


after("help below the function", "FUNCTION?")


# ---- what stands beside the function -------------------------------------------------------------

before("a magic above the function", "%matplotlib inline")
before("a shell command above the function", "!pip --version")
before("a program that is not here above the function", "!nvidia-smi")
before("the course's own count above the function", "print(trained.space.size())")
before("the supernet above the function", "trained.supernet.eval()")
before("the data above the function", "print(len(trained.dataset.splits['val'].images))")
before("data loaded above the function", "from labkit import load\nload('fmnist').dataset")
before("a picture", "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
before("a warning", "import warnings\nwarnings.warn('careful')")
before("settings", "import numpy as np\nnp.set_printoptions(precision=3)\nnp.random.seed(0)")
before("a limit of Python's", "import sys\nsys.setrecursionlimit(5000)")
before("display", "from IPython.display import display\ndisplay([1])")
before("a timed statement", "%time numbers = list(range(10))")
before("much output", "for i in range(500):\n    print('line', i)")
after("an error below the function", "assert FUNCTION is None, 'tried out'")
after("a test below the function", "try:\n    print(FUNCTION())\nexcept Exception:\n    pass")
after("main below the function", "if __name__ == '__main__':\n    print(FUNCTION)")
after("the check below the function", "from labkit.course import check\ncheck('ID', FUNCTION)")
above("an experiment that fails above", "1 / 0")
above("a cell that is no Python above", "this is no Python")
above("names of the course bound anew above", "budgets = costs = archs = None\nscores = []")


@decoration
def time_of_the_cell(a):
    return [f"%%time\n{a.solution}"]


@decoration
def captured_output(a):
    return [f"%%capture kept_{a.tag}\n{a.solution}"]


@decoration
def blank_lines_and_a_comment_before(a):
    return [f"\n\n# my answer\n\n{a.solution}\n\n\n"]


@decoration
def a_helper_cell_with_an_error_below(a):
    return [f"{a.renamed(f'w_{a.tag}')}\nprint(no_such_name)", a.calling(f"w_{a.tag}")]


@decoration
def a_helper_cell_with_an_error_above(a):
    return ["print(no_such_name)", a.renamed(f"w_{a.tag}"), a.calling(f"w_{a.tag}")]


def answers_of(number):
    solved = solutions(number)
    return [Answer(id, one.function, solved[id]) for id, one in exercises_of(number).items()]


def decorated_notebook(number, shift):
    """Cells of a notebook whose answers are decorated, each in another way, and the decorations by
    exercise id. `shift` chooses among them.
    """
    names, cells, decorations = list(DECORATIONS), setup_cells(number), {}
    for i, answer in enumerate(answers_of(number)):
        name = names[(shift + i) % len(names)]
        decorations[answer.id] = name
        cells += [cell.replace("'ID'", repr(answer.id)) for cell in DECORATIONS[name](answer)]
        cells.append(f'check("{answer.id}", {answer.function})')
    return cells, decorations


def course_notebook(number, name):
    """Cells of the course's whole notebook whose answers are decorated in one way, and which way
    that is, by exercise id.
    """
    answers, cells = {one.id: one for one in answers_of(number)}, []
    for cell in pristine_cells(number):
        ids = exercise_ids(cell)
        cells += DECORATIONS[name](answers[next(iter(ids))]) if ids else [cell]
    return cells, dict.fromkeys(answers, name)


def setup_cells(number):
    """The first code cells of the course's notebook, up to its imports."""
    cells = pristine_cells(number)
    return list(cells[: 1 + next(i for i, cell in enumerate(cells) if IMPORTS in cell)])
