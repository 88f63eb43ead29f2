"""Keep session state in files that are whole or absent, and that no two sessions share."""

import asyncio
import json
from pathlib import Path
from typing import Any

from agentscope.session import JSONSession
from state import replace_file, session_file


class SessionStore(JSONSession):
    """JSONSession with paths that cannot leave the directory and writes that survive a crash.

    The stock class joins the ids into a path as they are ("../x" leaves the directory), names the file
    `<user>_<session>.json` (user "a_b", session "c" is user "a", session "b_c") and writes it in place.
    """

    def _get_save_path(self, session_id: str, user_id: str) -> str:
        return str(session_file(Path(self.save_dir), user_id, session_id))

    async def save_session_state(self, session_id: str, user_id: str = "", **modules: Any) -> None:
        """Write the state of the modules, whole or not at all."""
        state = {name: module.state_dict() for name, module in modules.items()}
        text = json.dumps(state, ensure_ascii=False)
        await asyncio.to_thread(replace_file, Path(self._get_save_path(session_id, user_id)), text)
