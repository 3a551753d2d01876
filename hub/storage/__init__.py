"""The hub's memory: one database, SQLite or PostgreSQL, behind one small store a subject.

    db = Database.open("sqlite+aiosqlite:////var/lib/parcours/hub.db", Vault(master_key))
    await db.upgrade()
    async with db.transaction() as tx:          # a UnitOfWork: all of it happens, or none of it
        row = await tx.inbox.next(account, now)

Lives here: the engine, the migrations, the unit of work, and the spine's stores (sync position, inbox,
outbox, waiting events, journal, leases, data keys, identities, verifications). May import: SQLAlchemy,
Alembic, ``hub.seal``, ``hub.errors``. A feature's own tables live with the feature, in
``care/<feature>/store.py``, declared on ``hub.storage.tables.metadata``.

To add a store: its table in ``tables.py``, a migration, its rows in ``rows.py``, one file with its
statements at the top and a class over (connection, keys), a line in ``unit_of_work.py``, and its tests in
``tests/storage`` (they run on both databases). Whatever was said by or about a person goes into a column
sealed by ``Keys.seal``.
"""
