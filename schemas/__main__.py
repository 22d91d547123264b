"""`python -m schemas`: write the JSON Schema files anew after a change of the models."""

from pathlib import Path

from schemas.json_schema import documents

if __name__ == "__main__":
    for name, text in documents().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8")
