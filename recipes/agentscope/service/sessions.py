"""Keep session state in files that are whole or absent, and that no two sessions share."""

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from agentscope.session import JSONSession
from conversation import is_safe_id


class SessionStore(JSONSession):
    """JSONSession with paths that cannot leave the directory and writes that survive a crash.

    The stock class joins the ids into a path as they are ("../x" leaves the directory), names the file
    `<user>_<session>.json` (user "a_b", session "c" is user "a", session "b_c") and writes it in place.
    """

    def _get_save_path(self, session_id: str, user_id: str) -> str:
        if not is_safe_id(session_id) or not is_safe_id(user_id):
            raise ValueError("session or user id cannot be a file name")
        directory = Path(self.save_dir) / user_id
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(directory / f"{session_id}.json")

    async def save_session_state(self, session_id: str, user_id: str = "", **modules: Any) -> None:
        """Write the state of the modules, whole or not at all."""
        state = {name: module.state_dict() for name, module in modules.items()}
        text = json.dumps(state, ensure_ascii=False)
        await asyncio.to_thread(_replace, Path(self._get_save_path(session_id, user_id)), text)


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
