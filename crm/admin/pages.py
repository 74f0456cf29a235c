"""The console's pages about calls: the list, one call, its recording."""

from fastapi import APIRouter

from crm.recordings import Recordings
from crm.store import CallStore
from personas.admin.section import Section
from personas.store import PersonaStore


def section(store: CallStore, personas: PersonaStore, recordings: Recordings) -> Section:
    """Return the section "Calls" for ``personas.admin.console.mount``."""
    return Section("Calls", "/calls", "phone", APIRouter())
