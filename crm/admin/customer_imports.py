"""Customers from a file, in the console: looked through or written, and what came of it."""

from fastapi import APIRouter, HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from crm.customer_files import COLUMNS
from crm.customer_import import import_customers
from crm.customers import Customers
from crm.errors import BadCustomerFile
from personas.admin.access import EDITOR
from personas.admin.rendering import Pages

LARGEST_FILE_BYTES = 24_000_000
"""Some 100 000 customers with profiles; `parley customers import` takes any size."""

LARGEST_FORM_BYTES = LARGEST_FILE_BYTES + 10_000


def add_routes(router: APIRouter, pages: Pages, path: str, customers: Customers) -> None:
    """Add the page of the import below ``path``, ahead of those that take a customer's id there."""

    async def page(request: Request, **values: object) -> Response:
        known = {"problem": "", "report": None, "name": "", "skip_bad": False} | values
        status = 422 if known["problem"] else 200
        limits = {"largest": LARGEST_FILE_BYTES, "columns": COLUMNS}
        return await pages(request, "customer_import.html", status=status, active=path, **limits, **known)

    @router.get(path + "/import", dependencies=EDITOR)
    async def show(request: Request) -> Response:
        return await page(request)

    @router.post(path + "/import", dependencies=EDITOR)
    async def take(request: Request) -> Response:
        form = await request.form()
        given, skip_bad = form.get("file"), form.get("skip_bad") == "on"
        if not isinstance(given, UploadFile) or not given.filename:
            return await page(request, problem="Choose a file first.", skip_bad=skip_bad)
        if given.size is None or given.size > LARGEST_FILE_BYTES:
            raise HTTPException(
                413, f"The file is larger than {LARGEST_FILE_BYTES // 1_000_000} MB: import it in parts."
            )
        write = form.get("action") == "import"
        try:
            mine = customers.by(request.state.user.actor)
            report = await import_customers(mine, given.file, write=write, skip_bad=skip_bad)
        except BadCustomerFile as error:
            return await page(request, problem=str(error), name=given.filename, skip_bad=skip_bad)
        return await page(request, report=report, name=given.filename, skip_bad=skip_bad)
