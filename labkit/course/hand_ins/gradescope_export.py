"""Who submitted what, from the file that Gradescope puts into its export of submissions.

submission_metadata.yml maps the folder of each submission to its submitters, with keys that are
Ruby symbols: `:submitters:` is a list of `:name:`, `:sid:`, `:email:`, and `:created_at:` a time.
"""

from __future__ import annotations

import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

METADATA = "submission_metadata.yml"
MAX_METADATA_BYTES = 64 * 2**20


def read_submitters(path: Path) -> dict[str, list[dict]]:
    """Folder of a submission -> its submitters: {"student", "id", "submitted"}. Empty where the
    folder or zip at `path` is no export of Gradescope's. A group's submission has several.

    Raises ValueError where the file is there and cannot be read.
    """
    content = _metadata(Path(path))
    if content is None:
        return {}
    import yaml

    try:
        metadata = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return {
            str(folder): [_submitter(one, record) for one in record[":submitters"]]
            for folder, record in metadata.items()
        }
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{METADATA} in {path} is not as Gradescope writes it: {error}") from None


def _submitter(one: dict, record: dict) -> dict:
    submitted = record.get(":created_at") or ""
    if isinstance(submitted, datetime):
        # Gradescope writes universal time, which YAML's reader may return without saying so.
        zoned = submitted if submitted.tzinfo else submitted.replace(tzinfo=UTC)
        submitted = zoned.isoformat()
    return {
        "student": str(one.get(":name") or one.get(":email") or ""),
        "id": str(one.get(":sid") or one.get(":email") or ""),
        "submitted": str(submitted),
    }


def _metadata(path: Path) -> bytes | None:
    """The content of the file, in a folder or zip or in the only folder of it."""
    if path.is_dir():
        places = [path / METADATA, *sorted(path.glob(f"*/{METADATA}"))]
        files = [place for place in places if place.is_file() and not place.is_symlink()]
        return files[0].read_bytes() if files else None
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as packed:
        for member in packed.infolist():
            folders, _, name = member.filename.rpartition("/")
            if name == METADATA and folders.count("/") == 0:
                with packed.open(member) as content:
                    return content.read(MAX_METADATA_BYTES)
    return None
