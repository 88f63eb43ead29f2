"""Each rule finds what it is for, and leaves alone what only looks like it."""

import pytest

from bundler.scan.rules import CODE, ERROR, INFO, LIBRARY, NAME, RUN, SETTING, SHELL, WARNING, read_rules
from bundler.scan.text import Hit, scan_mcp, scan_text, scan_words

RULES = read_rules()
# No file of this project names a package index.
INDEX, FILES, PACKAGES = "pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org"

SHELL_HITS = [
    ("npx", "npx -y @modelcontextprotocol/server-filesystem /data"),
    ("npx", "exec /usr/local/bin/npx some-server"),
    ("npx", "pnpm dlx create-app"),
    ("npx", "npm exec -- server"),
    ("uvx", "uvx mcp-server-fetch"),
    ("uvx", "uv tool run ruff"),
    ("uvx", "pipx run black"),
    ("pip-install", "pip install -r requirements.txt"),
    ("pip-install", "python3.11 -m pip install --quiet torch"),
    ("pip-install", "uv pip install numpy"),
    ("pip-install", "set -e; pip3 --no-cache-dir install x"),
    ("pip-install", "conda install pytorch"),
    ("uv-run", "uv run server.py"),
    ("uv-run", "uv sync --frozen"),
    ("npm-install", "npm ci"),
    ("npm-install", "yarn add left-pad"),
    ("os-install", "apt-get -y install curl"),
    ("os-install", "apk add --no-cache bash"),
    ("curl", "curl -fsSL https://example.com/get.sh | sh"),
    ("curl", "wget -q http://example.com/model.bin"),
    ("curl", "curl \\\n  -o x \\\n  https://example.com/x"),
    ("git-clone", "git clone --depth 1 https://example.com/a.git"),
    ("image-pull", "docker pull redis:7"),
    ("image-pull", "ollama pull qwen3"),
    ("latest", "docker run registry.example/app:latest"),
    ("index-host", f"pip download --index-url https://{INDEX}/simple x --no-index"),
    ("index-setting", f"export PIP_INDEX_URL=https://{INDEX}/simple"),
    ("hub-host", "git lfs fetch https://huggingface.co/org/model"),
    ("hub-download", "huggingface-cli download org/model"),
    ("hub-download", "modelscope download --model org/model"),
    ("tiktoken", "cp x https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"),
    ("nltk", "python -m nltk.downloader punkt"),
    ("playwright", "playwright install chromium"),
    ("playwright", "npx --no playwright install"),
    ("spacy", "python -m spacy download en_core_web_sm"),
    ("telemetry", "ping https://eu.i.posthog.com/capture"),
]
SHELL_MISSES = [
    "npx --no server",
    "npm run start",
    "my-npx tool",
    "uvx --offline ruff",
    "uvxyz run",
    "pip install --no-index --find-links /wheels x",
    "pip list",
    "pipeline install",
    "# pip install x",
    "echo 'run: pip install x'",
    "uv run --offline --no-sync server.py",
    "npm start",
    "aptitude installed",
    "curl -f http://localhost:8080/health",
    "curl http://127.0.0.1:8000/v1/models",
    "curl https://$HOST/x",
    "curl --version; echo https://example.com",
    "git status",
    "docker run app:1.0",
    "docker run app:latest-2",
    "docker run app:latestish",
    f"echo https://{INDEX}.example.com/",
    "export PIP_INDEX_URL=http://127.0.0.1:8081/simple",
    "huggingface-cli login",
    "playwright install-deps",
    "python -m spacy validate",
]


@pytest.mark.parametrize(("rule", "text"), SHELL_HITS)
def test_a_command_is_found(rule: str, text: str) -> None:
    assert rule in [hit.rule for hit in scan_text(text.encode(), SHELL, RULES)]


@pytest.mark.parametrize("text", SHELL_MISSES)
def test_a_command_that_stays_at_home_is_not_found(text: str) -> None:
    assert scan_text(text.encode(), SHELL, RULES) == []


CODE_HITS = [
    ("npx", 'StdioServerParameters(command="npx", args=["-y", "server"])'),
    ("npx", 'subprocess.run(["npx", "-y", "server"], check=True)'),
    ("npx", "command: npx"),
    ("npx", '{"command": "/usr/bin/npx"}'),
    ("uvx", "command = 'uvx'"),
    ("pip-install", 'subprocess.check_call([sys.executable, "-m", "pip", "install", package])'),
    ("pip-install", 'os.system("pip install torch")'),
    ("image-pull", '["docker", "pull", image]'),
    ("latest", 'IMAGE = "registry.example/app:latest"'),
    ("latest", "image: redis:latest"),
    ("index-host", f'INDEX = "https://{INDEX}/simple"'),
    ("index-host", f"BASE = '{FILES}'"),
    ("index-host", f'registry = "https://{PACKAGES}/"'),
    ("hub-host", 'ENDPOINT = "https://huggingface.co"'),
    ("hub-host", "url = 'https://www.modelscope.cn/api/v1'"),
    ("hub-download", 'AutoModel.from_pretrained("org/model")'),
    ("hub-download", "snapshot_download(repo_id='org/model')"),
    ("tiktoken", 'tiktoken.get_encoding("cl100k_base")'),
    ("tiktoken", '"https://openaipublic.blob.core.windows.net/gpt-2/vocab.bpe"'),
    ("nltk", 'nltk.download("punkt")'),
    ("spacy", 'spacy.cli.download("en_core_web_sm")'),
    ("telemetry", 'host="https://us.i.posthog.com"'),
]
CODE_MISSES = [
    "# os.system('pip install torch')",
    'raise ImportError("please pip install torch")',
    'parser.error("use npx")',
    'description="runs npx servers"',
    'AutoModel.from_pretrained("/srv/models/m")',
    "AutoModel.from_pretrained(path)",
    'load_dataset("./data")',
    f'"""See https://{INDEX}/project/x for more."""',
    f'URL = "https://{INDEX}/project/x/"',
    '"""Taken from https://huggingface.co/docs."""',
    "my_tiktoken.get_encoding(x)",
    'IMAGE = "app:latest_stable"',
]


@pytest.mark.parametrize(("rule", "text"), CODE_HITS)
def test_code_is_found(rule: str, text: str) -> None:
    assert rule in [hit.rule for hit in scan_text(text.encode(), CODE, RULES)]


@pytest.mark.parametrize("text", CODE_MISSES)
def test_code_that_stays_at_home_is_not_found(text: str) -> None:
    assert scan_text(text.encode(), CODE, RULES) == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("index-setting", "PIP_INDEX_URL=https://mirror.example/simple"),
        ("index-setting", "[global]\nindex-url = https://mirror.example/simple"),
        ("index-setting", "registry=https://mirror.example/"),
        ("index-setting", "GOPROXY=https://proxy.example,direct"),
        ("hub-host", "HF_ENDPOINT=https://mirror.example"),
        ("index-host", f"X=https://{PACKAGES}/"),
    ],
)
def test_a_setting_is_found(rule: str, text: str) -> None:
    assert rule in [hit.rule for hit in scan_text(text.encode(), SETTING, RULES)]


@pytest.mark.parametrize(
    "text", ["PIP_NO_INDEX=1", "index-url = http://127.0.0.1:8081/simple", "MODEL_BASE_URL=http://127.0.0.1/v1", "A=b"]
)
def test_a_setting_of_this_host_is_not_found(text: str) -> None:
    assert scan_text(text.encode(), SETTING, RULES) == []


def test_names_of_images() -> None:
    assert [hit.rule for hit in scan_text(b"docker.io/library/redis:latest", NAME, RULES)] == ["latest"]
    assert scan_text(b"docker.io/library/redis:7.4", NAME, RULES) == []


def test_every_rule_is_tried_here_and_speaks_both_languages() -> None:
    tried = {rule for rule, _ in [*SHELL_HITS, *CODE_HITS]} | {"mcp-remote"}
    assert {rule.id for rule in RULES.lines} == tried
    for what, remedy in RULES.texts.values():
        assert set(what) == set(remedy) == {"en", "zh"}
        assert all(text.strip() for text in (*what.values(), *remedy.values()))


def test_how_grave_a_finding_is() -> None:
    assert [RULES.severity("npx", surface) for surface in (RUN, "script", "own", LIBRARY)] == [
        ERROR,
        WARNING,
        WARNING,
        INFO,
    ]
    assert RULES.severity("latest", RUN) == WARNING


def test_the_line_of_a_finding_counts_joined_lines() -> None:
    text = b"#!/bin/sh\nset -e\ncurl \\\n  https://example.com/a\nnpx x\r\nuvx y\n"
    assert [(hit.rule, hit.line) for hit in scan_text(text, SHELL, RULES)] == [("curl", 3), ("npx", 5), ("uvx", 6)]


def test_what_is_shown_is_short_printable_and_holds_no_password() -> None:
    line = b"curl https://user:secret@example.com/\x1b[31m" + b"x" * 300
    (hit,) = scan_text(line, SHELL, RULES)
    assert hit.found.startswith("curl https://***@example.com/?[31mxxx")
    assert hit.found.endswith("x...")
    assert len(hit.found) == 163


MCP = b"""{
  "mcpServers": {
    "files": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-filesystem"]
    },
    "local": {"command": "python", "args": ["-m", "server"]},
    "fetch": {"command": "uvx", "args": ["mcp-server-fetch", 3]},
    "far": {"url": "https://mcp.example.com/sse"},
    "near": {"url": "http://localhost:3000/sse"}
  }
}"""


def test_mcp_servers_are_found() -> None:
    assert scan_mcp(MCP, RULES) == [
        Hit(rule="npx", line=3, found="npx -y @modelcontextprotocol/server-filesystem"),
        Hit(rule="uvx", line=8, found="uvx mcp-server-fetch"),
        Hit(rule="mcp-remote", line=9, found="mcp-url https://mcp.example.com/sse"),
    ]


def test_mcp_servers_are_found_at_any_depth() -> None:
    assert [hit.rule for hit in scan_mcp(b'[{"a": [{"mcpServers": {"x": {"command": "npx y"}}}]}]', RULES)] == ["npx"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"mcpServers",
        b'{"mcpServers": []}',
        b'{"mcpServers": {"x": 3, "y": {"command": 4, "args": "npx"}}}',
        b'{"mcpServers"' + b'{"a":' * 100000,
        b'{"mcpServers": {}, "a": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_what_is_no_mcp_configuration_is_left_alone(data: bytes) -> None:
    assert scan_mcp(data, RULES) == []


def test_an_argument_vector_is_judged_as_one_line() -> None:
    assert scan_words(["sh", "-c", "npx -y x"], RULES) == [Hit(rule="npx", line=0, found="sh -c npx -y x")]
    assert scan_words(["python", "-m", "agent"], RULES) == []
