"""A short, seeded part of ``make fuzz``: mutated journals never break the analysis."""

from tests import journal_fuzz

NUMBER = 300


def test_mutated_journals_are_explained_without_a_crash() -> None:
    sources = journal_fuzz.load()
    for seed in range(NUMBER):
        try:
            journal_fuzz.explain(journal_fuzz.journal(seed, sources))
        except Exception as error:
            error.add_note(f"python -m tests.journal_fuzz --only {seed}")
            raise
