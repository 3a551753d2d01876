"""Care: what the hub is for, one folder a feature, the same furniture in each.

``model.py`` holds facts, values and rules, and imports the standard library only; ``service.py`` the use
cases, one function each (load, decide, save, queue); ``store.py`` the SQL, over ``hub.storage``;
``pages.py`` the web pages, where the feature has some. No feature imports another's store.

To add a feature: a folder with that furniture, its table and migration, its sentences in ``hub/locale``,
its bot in ``bots/``.
"""
