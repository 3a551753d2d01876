from tests.support.dialogue import _migrated, dialogue_database, direct, room

__all__ = ["_migrated", "dialogue_database", "direct", "room"]
