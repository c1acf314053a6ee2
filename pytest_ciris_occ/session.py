"""What one test process holds: the harness and the databases, started at first use."""

from __future__ import annotations

from pathlib import Path

from pytest_ciris_occ.databases import Provider, Selected, provider_for
from pytest_ciris_occ.fleet.harness import Harness
from pytest_ciris_occ.rewriting import REWRITER, travelling_modules


class Session:
    """The resources of one test process.

    Attributes:
        harness: the processes behind its fleets.
    """

    def __init__(self, root: Path, run_id: str, postgres_url: str) -> None:
        """Prepare; nothing is started yet.

        Args:
            root: the folder below which modules are the user's.
            run_id: the same in all processes of one test run.
            postgres_url: the server that ``postgres`` means, ``""`` for none.
        """
        self.harness = Harness(lambda: travelling_modules(root), REWRITER)
        self._run_id = run_id
        self._postgres_url = postgres_url
        self._providers: dict[Selected, Provider] = {}

    def provider(self, selected: Selected) -> Provider:
        """The provider of one entry of the option."""
        if selected not in self._providers:
            url = self._postgres_url or None
            self._providers[selected] = provider_for(selected, self.harness.directory, self._run_id, url)
        return self._providers[selected]

    def close(self) -> None:
        """End everything."""
        self.harness.close()
        for provider in self._providers.values():
            provider.close()
