"""Learning platforms, as far as hand-ins and grades pass through them: how each names what it lets
one download, and how it reads the table that it imports.

Written after the platforms' sources and documentation: Canvas's lib/content_zipper.rb and
lib/gradebook_importer.rb, Moodle's mod/assign/feedback/{offline,file}, Gradescope's autograder
specification and its export, GitHub Classroom's grades and `gh classroom clone`, Google Classroom's
folder in Drive and the import of a spreadsheet there.
"""

import csv
import io
import re
import zipfile
from pathlib import PurePosixPath

# ---- what they let one download ------------------------------------------------------------------


def canvas_name(sortable_name, user_id, attachment_id, file, late=False):
    """content_zipper.rb: get_filename, sanitize_file_name, add_upload_submission."""
    parts = [sortable_name.lower(), *(["LATE"] if late else []), str(user_id)]
    prefix = re.sub(r"\W", "", "_".join(parts))
    return f"{prefix}_{attachment_id}_{re.sub(r'[/:*?<>|]+', '_', file)}"


def moodle_name(full_name, participant, file, folders=True):
    """mod/assign's downloader: name, number, plugin; with a folder for each, or without."""
    prefix = f"{full_name.replace('_', ' ')}_{participant}_assignsubmission_file"
    return f"{prefix}/{file}" if folders else f"{prefix}_{file}"


def gradescope_metadata(submissions):
    """submission_metadata.yml of {folder: ([(name, sid, email), ...], time)}."""
    lines = ["---"]
    for folder, (submitters, time) in submissions.items():
        lines += [f"{folder}:", "  :submitters:"]
        for name, sid, email in submitters:
            lines += [f"  - :name: {name}", f"    :sid: '{sid}'", f"    :email: {email}"]
        lines += [f"  :created_at: {time}", "  :score: 0.0", "  :status: processed"]
    return "\n".join(lines) + "\n"


def drive_name(full_name, file, number=0):
    """A student's copy of a notebook that Google Classroom made, or one that was uploaded again."""
    stem, dot, ending = file.rpartition(".")
    forms = (file, f"Copy of {file}", f"{stem} ({number}){dot}{ending}")
    return f"{full_name} - {forms[number % 3]}"


def classroom_grades(assignment, students):
    """GitHub Classroom's grades of {user: roster identifier}, as a table."""
    columns = "assignment_name assignment_url starter_code_url github_username roster_identifier"
    columns += " student_repository_name student_repository_url submission_timestamp"
    lines = [",".join([*columns.split(), "points_awarded", "points_available"])]
    for user, name in students.items():
        url = f"https://github.com/course/{assignment}-{user}"
        row = [assignment, "u", "u", user, name, f"{assignment}-{user}", url]
        lines.append(",".join([*row, "2026-11-20 12:00:00 UTC", "0", "18"]))
    return "\n".join(lines) + "\n"


def packed(files):
    """A zip of {name: content}."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


# ---- what they import ----------------------------------------------------------------------------


def canvas_import(text, user_ids, title):
    """Scores of the column `title` by user id, as gradebook_importer.rb reads them, and the points
    possible.
    """
    rows = list(csv.reader(io.StringIO(text)))
    header = rows[0]
    assert len(header) > 3 and "Student" in header[0] and "ID" in header[1]
    columns = 3
    if re.search(r"SIS\s+Login\s+ID", header[2]):
        columns = 4
    elif re.search(r"SIS\s+User\s+ID", header[2]) and re.search(r"SIS\s+Login\s+ID", header[3]):
        columns = 5 + ("Integration" in header[4])
    assert "Section" in header[columns - 1], "Invalid header row"
    place = header.index(title)
    assert place >= columns
    scores, possible = {}, None
    for row in rows[1:]:
        if "Points Possible" in row[0]:
            possible = float(row[place])
            continue
        assert row[1] in user_ids, f"Canvas would create a student {row[0]!r}"
        assert row[1] not in scores
        scores[row[1]] = float(row[place])
    return scores, possible


def moodle_import(text, participants):
    """(grade, comment) by participant, as importgradeslib.php reads them."""
    rows = list(csv.reader(io.StringIO(text)))
    header = rows[0]
    identifier, grade, comment = (
        header.index(name) for name in ("Identifier", "Grade", "Feedback comments")
    )
    assert "Last modified (grade)" in header and comment > 0
    grades = {}
    for row in rows[1:]:
        participant = row[identifier][len("Participant ") :]
        assert participant in participants and participant not in grades
        grades[participant] = (float(row[grade]), row[comment])
    return grades


def moodle_feedback_import(content, participants):
    """(file name, text) by participant, as importziplib.php reads a zip of feedback files."""
    files = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            assert not PurePosixPath(name).name.startswith((".", "~"))
            parts = name.split("/")
            while parts:
                info = parts.pop(0).split("_", 4)
                if len(info) < 4 or not info[1].isdecimal() or info[1] not in participants:
                    continue
                assert (info[2], info[3]) == ("assignsubmission", "file")
                rest = [*info[4:], *parts]
                files[info[1]] = ("/".join(rest).lstrip("/"), archive.read(name).decode())
                break
            else:
                raise AssertionError(f"Moodle would ignore {name}")
    return files


def sheets_import(text, key):
    """Totals by the column `key`, as Google Sheets reads a table (File, Import, "Convert text to
    numbers, dates and formulas"): no cell may become a formula, and a total is a number.
    """
    rows = list(csv.reader(io.StringIO(text), strict=True))
    header = rows[0]
    assert all(len(row) == len(header) for row in rows), "a row would be shifted"
    assert not any(cell.lstrip().startswith(("=", "+")) for row in rows for cell in row)
    place, total = header.index(key), header.index("total")
    totals = {row[place]: float(row[total]) for row in rows[1:]}
    assert len(totals) == len(rows) - 1, "two rows are one student's"
    return totals


def classroom_import(text, grades):
    """Totals by roster identifier, joined with GitHub Classroom's own table by the repository."""
    totals = sheets_import(text, "id")
    students = list(csv.DictReader(io.StringIO(grades)))
    repositories = {row["student_repository_name"]: row["roster_identifier"] for row in students}
    assert set(totals) <= set(repositories), "a row belongs to no repository"
    return {repositories[name]: total for name, total in totals.items()}


VISIBILITIES = {"hidden", "after_due_date", "after_published", "visible"}
FORMATS = {"text", "html", "simple_format", "md", "ansi"}


def gradescope_import(results):
    """The score that Gradescope shows, and its maximum, after the specification."""
    known = {"score", "execution_time", "output", "output_format", "test_output_format"}
    known |= {"test_name_format", "visibility", "stdout_visibility", "extra_data", "tests"}
    assert set(results) <= known | {"leaderboard"}
    assert results.get("visibility", "visible") in VISIBILITIES
    assert results.get("stdout_visibility", "hidden") in VISIBILITIES
    of_test = {"score", "max_score", "status", "name", "name_format", "number", "output"}
    of_test |= {"output_format", "tags", "visibility", "extra_data"}
    for test in results["tests"]:
        assert set(test) <= of_test and test.get("status", "passed") in ("passed", "failed")
        assert test["visibility"] in VISIBILITIES and test["output_format"] in FORMATS
        assert isinstance(test["output"], str) and isinstance(test["name"], str)
    tests = results["tests"]
    score = results.get("score", sum(test["score"] for test in tests))
    return score, sum(test["max_score"] for test in tests)
