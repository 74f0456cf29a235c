"""A browser that is signed in to the console and fills in its forms, without a window."""

import re
from html import unescape

import httpx


class Browser:
    """Loads pages and sends their forms."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str) -> str:
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def post(self, path: str, page: str, **fields: str) -> httpx.Response:
        """Send the form of ``page`` with some fields filled in anew."""
        hidden = {name: hidden_field(page, name) for name in ("csrf_token", "slug", "base") if f'name="{name}"' in page}
        return await self.client.post(path, data=hidden | fields)

    async def save(self, page: str, text: str, **more: str) -> httpx.Response:
        return await self.post("/personas", page, text=text, action="save", **more)


def hidden_field(page: str, name: str) -> str:
    """Return the value of an input of a page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return unescape(found[1])
