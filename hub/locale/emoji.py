"""The 64 emoji of Matrix' short codes, in the order and with the names of its specification.

Two people read them to each other, so the names are those of every client, in both languages.
"""

from __future__ import annotations

from typing import Final

from hub.locale.language import Language

EMOJI: Final = (
    ("🐶", "Chien", "Dog"),
    ("🐱", "Chat", "Cat"),
    ("🦁", "Lion", "Lion"),
    ("🐎", "Cheval", "Horse"),
    ("🦄", "Licorne", "Unicorn"),
    ("🐷", "Cochon", "Pig"),
    ("🐘", "Éléphant", "Elephant"),
    ("🐰", "Lapin", "Rabbit"),
    ("🐼", "Panda", "Panda"),
    ("🐓", "Coq", "Rooster"),
    ("🐧", "Manchot", "Penguin"),
    ("🐢", "Tortue", "Turtle"),
    ("🐟", "Poisson", "Fish"),
    ("🐙", "Poulpe", "Octopus"),
    ("🦋", "Papillon", "Butterfly"),
    ("🌷", "Fleur", "Flower"),
    ("🌳", "Arbre", "Tree"),
    ("🌵", "Cactus", "Cactus"),
    ("🍄", "Champignon", "Mushroom"),
    ("🌏", "Globe", "Globe"),
    ("🌙", "Lune", "Moon"),
    ("☁️", "Nuage", "Cloud"),
    ("🔥", "Feu", "Fire"),
    ("🍌", "Banane", "Banana"),
    ("🍎", "Pomme", "Apple"),
    ("🍓", "Fraise", "Strawberry"),
    ("🌽", "Maïs", "Corn"),
    ("🍕", "Pizza", "Pizza"),
    ("🎂", "Gâteau", "Cake"),
    ("❤️", "Cœur", "Heart"),
    ("🙂", "Sourire", "Smiley"),
    ("🤖", "Robot", "Robot"),
    ("🎩", "Chapeau", "Hat"),
    ("👓", "Lunettes", "Glasses"),
    ("🔧", "Clé à molette", "Spanner"),
    ("🎅", "Père Noël", "Santa"),
    ("👍", "Pouce en l’air", "Thumbs Up"),
    ("☂️", "Parapluie", "Umbrella"),
    ("⌛", "Sablier", "Hourglass"),
    ("⏰", "Réveil", "Clock"),
    ("🎁", "Cadeau", "Gift"),
    ("💡", "Ampoule", "Light Bulb"),
    ("📕", "Livre", "Book"),
    ("✏️", "Crayon", "Pencil"),
    ("📎", "Trombone", "Paperclip"),
    ("✂️", "Ciseaux", "Scissors"),
    ("🔒", "Cadenas", "Lock"),
    ("🔑", "Clé", "Key"),
    ("🔨", "Marteau", "Hammer"),
    ("☎️", "Téléphone", "Telephone"),
    ("🏁", "Drapeau", "Flag"),
    ("🚂", "Train", "Train"),
    ("🚲", "Vélo", "Bicycle"),
    ("✈️", "Avion", "Aeroplane"),
    ("🚀", "Fusée", "Rocket"),
    ("🏆", "Trophée", "Trophy"),
    ("⚽", "Ballon", "Ball"),
    ("🎸", "Guitare", "Guitar"),
    ("🎺", "Trompette", "Trumpet"),
    ("🔔", "Cloche", "Bell"),
    ("⚓", "Ancre", "Anchor"),
    ("🎧", "Casque audio", "Headphones"),
    ("📁", "Dossier", "Folder"),
    ("📌", "Punaise", "Pin"),
)
"""Symbol, French name, English name."""


def emoji(language: Language, index: int) -> tuple[str, str]:
    """The symbol and the name of one of the seven that a code consists of; ``index`` from 0 to 63."""
    symbol, french, english = EMOJI[index]
    return symbol, english if language is Language.EN else french
