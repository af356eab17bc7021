"""The conversations that every client of the unified API holds, and what the local upstream answers and counts.

The last words of the user choose the answer. Knows nothing of any SDK.
"""

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
HELLO = "Grüße, 世界 🌍"
SEEN = "A red dot."
SUMMARY = "Mild there, cold here."
THOUGHT = "A thought."
THOUGHTFUL = "It is 42."
STILL = "It still is."
CUT = "This ends in the mid"
STOPPED = "Up to here "
STOP = "END"
BEFORE = "Let me look."
CITY = {"city": "Oslo", "degrees": -3}
ARGUMENTS = [{"city": "São Paulo"}, {"city": "Oslo"}]
RESULTS = ["22 degrees", "-3 degrees"]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

# Tokens in and out.
TOKENS = {
    "text": (11, 7),
    "picture": (300, 5),
    "tools": (50, 20),
    "results": (90, 9),
    "careful tools": (50, 20),
    "cache": (20, 3),
    "thought": (30, 12),
    "kept thought": (60, 6),
    "length": (13, 8),
    "stop": (14, 4),
    "schema": (70, 15),
}

CONVERSE, NOVA, CLAUDE, COMPATIBLE, OLLAMA, GEMINI = "u-converse", "u-nova", "u-claude", "u-compat", "u-ollama", "u-gemini"
# The forms that are upstreams' own; everything is tried with these.
MAIN = (CONVERSE, CLAUDE, COMPATIBLE)
ALL = (*MAIN, OLLAMA, GEMINI)
EMBEDDINGS = "u-embed"


def asks(words):
    return {"role": "user", "content": f"{words} please"}


def each(models):
    """Every model, unary and streamed."""
    return [(model, stream) for model in models for stream in (False, True)]
