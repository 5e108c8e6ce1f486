"""A server that people would write instead: FastAPI on SQLite. Every request checks its key and reads the
company's tags. FastAPI checks the answer against a model, as its documentation recommends."""

import argparse
import base64
import binascii
import hashlib
import json
import pathlib
import sqlite3
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel

COMPANY = "cmp_100"

parser = argparse.ArgumentParser()
for name in ("listen", "file", "key-file", "database"):
    parser.add_argument(f"--{name}", required=True)
options = parser.parse_args()


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def fill(path: pathlib.Path) -> sqlite3.Connection:
    for suffix in ("", "-wal", "-shm"):
        pathlib.Path(f"{path}{suffix}").unlink(missing_ok=True)
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    db.executescript("""
        PRAGMA journal_mode = WAL;
        CREATE TABLE keys (secret BLOB PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE tags (
            company_id TEXT NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL,
            last_updated_by TEXT NOT NULL, last_updated_time TEXT NOT NULL,
            PRIMARY KEY (company_id, position)) WITHOUT ROWID;
    """)
    key = pathlib.Path(options.key_file).read_text().strip()
    db.execute("INSERT INTO keys VALUES (?, ?)", (digest(key), "bench"))
    tags = json.loads(pathlib.Path(options.file).read_text())["tags"]
    rows = [
        (COMPANY, i, tag["id"], tag["name"], tag["lastUpdatedBy"], tag["lastUpdatedTime"])
        for i, tag in enumerate(tags)
    ]
    db.executemany("INSERT INTO tags VALUES (?, ?, ?, ?, ?, ?)", rows)
    db.row_factory = sqlite3.Row
    return db


db = fill(pathlib.Path(options.database))
app = FastAPI()


class Tag(BaseModel):
    id: str
    name: str
    lastUpdatedBy: str
    lastUpdatedTime: str


class Tags(BaseModel):
    tags: list[Tag]


async def check_key(authorization: Annotated[str, Header()] = "") -> None:
    scheme, _, credential = authorization.partition(" ")
    try:
        key = base64.b64decode(credential).decode().removesuffix(":")
    except (binascii.Error, UnicodeDecodeError):
        key = ""
    found = db.execute("SELECT name FROM keys WHERE secret = ?", (digest(key),)).fetchone()
    if scheme != "Basic" or found is None:
        raise HTTPException(status_code=401, detail="unknown key")


@app.get("/v1/setting/companies/{company}/customer/tags:list", dependencies=[Depends(check_key)])
async def list_tags(company: str) -> Tags:
    rows = db.execute(
        """SELECT id, name, last_updated_by AS lastUpdatedBy, last_updated_time AS lastUpdatedTime
           FROM tags WHERE company_id = ? ORDER BY position""",
        (company,),
    )
    return Tags(tags=[Tag(**row) for row in rows])


host, port = options.listen.split(":")
uvicorn.run(app, host=host, port=int(port), log_level="error", access_log=False)
