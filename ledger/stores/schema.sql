CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    entry BLOB NOT NULL,
    hash BLOB NOT NULL,
    sig BLOB,
    id TEXT UNIQUE NOT NULL,
    time TEXT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL
) STRICT;
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END;
