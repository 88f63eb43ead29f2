"""A signing key signs what its policy allows and enough operators have approved, and nothing else."""

import base64
import hashlib
import json

import pytest
from bundles import OFFICER, SIGNER, STRANGER, small_manifest
from engines import Mounted, refusal
from trusted import revocation_list, root_document

from bundler.model.manifest import format_manifest
from bundler.model.provenance import PAYLOAD_TYPE, make_statement
from keystore import document, sm3
from keystore.engines.request import Operation
from keystore.engines.signing import Signing
from keystore.envelope import pae, parse_envelope
from keystore.public import read_public
from keystore.revocation import REVOCATIONS_TYPE
from keystore.trust import ROOT_TYPE

MANIFEST = small_manifest([b"one"])[0]
DATA = format_manifest(MANIFEST)
STATEMENT = make_statement(MANIFEST, DATA, b"a signature")
OTHER = format_manifest(small_manifest([b"one"], name="other")[0])
ALICE, BOB, CAROL = "userpass/alice", "userpass/bob", "userpass/carol"
FOUR_EYES = {"products": ["sample"], "approvals": 2, "operators": [CAROL, BOB, ALICE]}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


DIGEST = sha256(DATA)


@pytest.fixture
def mounted():
    return Mounted(Signing())


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def by(mounted, identity):
    mounted.identity = identity
    return mounted


def propose(mounted, data=DATA):
    return mounted.get(f"proposals/k/{sha256(data)}", document=encode(data))


def sign(mounted, message, digest=DIGEST):
    return base64.b64decode(mounted.get(f"sign/k/{digest}", input=encode(message))["signature"])


def refused(mounted, message, digest=DIGEST):
    return mounted.refusal(f"sign/k/{digest}", input=encode(message))


@pytest.mark.parametrize(("algorithm", "scheme"), [("sm2", "sm2-sm3"), ("ed25519", "ed25519")])
def test_a_key_is_made_told_and_signs_all_forms(mounted, algorithm, scheme):
    made = mounted.get("keys/k", algorithm=algorithm, products="sample", until="2027-01-01T00:00:00Z")
    public = read_public(made["public_key"])
    assert made == {
        "name": "k",
        "algorithm": algorithm,
        "scheme": scheme,
        "keyid": public.keyid,
        "fingerprint": public.fingerprint(),
        "public_key": public.pem(),
        "created": "2026-03-01T12:00:00Z",
        "certificates": [],
        "use": {
            "number": 1,
            "products": ["sample"],
            "kinds": ["bundle", "revocations"],
            "until": "2027-01-01T00:00:00Z",
            "approvals": 0,
            "operators": [],
            "approval_ttl": 604800,
        },
    }
    assert mounted.read("keys/k").data == made
    assert mounted.list("keys") == ["k"]
    public.verify(sign(mounted, DATA), DATA)
    public.verify(sign(mounted, pae(PAYLOAD_TYPE, STATEMENT)), pae(PAYLOAD_TYPE, STATEMENT))
    listed = parse_envelope(revocation_list(3, [STRANGER], [OFFICER]))
    public.verify(sign(mounted, listed.message(), sha256(listed.payload)), listed.message())
    assert sign(mounted, DATA) == sign(mounted, DATA)
    told = mounted.read(f"proposals/k/{DIGEST}").data
    assert (told["product"], told["version"], told["sequence"], told["platform"]) == ("sample", "1.0", 1, "linux/amd64")
    assert sorted(told["signed"]) == ["document", "statement"]


def test_a_key_is_taken_over_and_never_given_out(mounted):
    made = mounted.get("keys/k", private_key=SIGNER._private.pem(), products="*")
    assert made["keyid"] == SIGNER.keyid
    secret = document.parse(mounted.records.kept["keys/k"], "k")["secret"]
    for path in ("keys/k", "pending", "pending/k"):
        assert secret[:20] not in json.dumps(mounted.read(path).data)
    assert refusal(lambda: mounted.delete("keys/k")) == (405, "unsupported operation")
    assert mounted.refusal("keys/k", products="*") == (
        400,
        "expected no key 'k', got one: its policy is changed at keys/NAME/use",
    )


def test_the_policy_names_products_kinds_and_an_end(mounted):
    mounted.get("keys/k", products="sample", until="2026-03-02T00:00:00Z")
    told = (403, "expected a product of this key, 'sample', got 'other'")
    assert mounted.refusal(f"proposals/k/{sha256(OTHER)}", document=encode(OTHER)) == told
    assert refused(mounted, OTHER, sha256(OTHER)) == told
    root = parse_envelope(root_document(1, [OFFICER], [SIGNER]))
    assert root.payload_type == ROOT_TYPE
    assert refused(mounted, root.message(), sha256(root.payload)) == (
        403,
        "expected a document of the kinds 'bundle', 'revocations', got 'root'",
    )
    propose(mounted)
    mounted.pass_time(86400)
    over = (
        403,
        "expected a use before 2026-03-02T00:00:00Z, got one at 2026-03-02T12:00:00Z; "
        "take another key, or let its policy be changed",
    )
    assert refused(mounted, DATA) == over
    assert refused(mounted, pae(PAYLOAD_TYPE, STATEMENT)) == over


def test_what_cannot_be_read_is_not_signed(mounted):
    mounted.get("keys/k", products="*", kinds=["bundle", "revocations", "root"])
    unread = (403, "message: expected a bundle, a list of revoked keys or a root document, got another type")
    assert refused(mounted, pae("text/plain", DATA)) == unread
    assert refused(mounted, b"a message") == (403, "manifest: expected a JSON object, got something else")
    assert refused(mounted, b'{"format":"other"}') == (
        403,
        "manifest.format: expected the manifest of a bundle, got another document",
    )
    assert refused(mounted, pae(PAYLOAD_TYPE, STATEMENT) + b" ") == (
        403,
        "message: expected the pre-authentication encoding of an envelope, got something else",
    )
    assert refused(mounted, OTHER) == (
        400,
        f"the digest of what is to be signed: expected {DIGEST!r}, got {sha256(OTHER)!r}",
    )


def test_a_statement_is_about_one_proposed_manifest_alone(mounted):
    mounted.get("keys/k", products="*")
    message = pae(PAYLOAD_TYPE, STATEMENT)
    assert refused(mounted, message) == (404, f"expected a document that was proposed to 'k', got {DIGEST}")
    propose(mounted)
    found = json.loads(STATEMENT)
    second = {"name": "ferry.json", "digest": {"sha256": sha256(OTHER), "sm3": sm3.sm3(OTHER).hex()}}
    two = document.canonical({**found, "subject": [*found["subject"], second]})
    assert refused(mounted, pae(PAYLOAD_TYPE, two)) == (
        403,
        "statement.subject: names: expected ['ferry.json', 'ferry.json.sig'], "
        "got ['ferry.json', 'ferry.json.sig', 'ferry.json']",
    )
    found["subject"][0]["digest"]["sm3"] = sm3.sm3(OTHER).hex()
    assert refused(mounted, pae(PAYLOAD_TYPE, document.canonical(found))) == (
        403,
        "expected a statement with both digests of the document that was shown, got another",
    )
    found = json.loads(STATEMENT)
    found["predicate"]["buildDefinition"]["externalParameters"]["recipe"]["version"] = "9.9"
    assert refused(mounted, pae(PAYLOAD_TYPE, document.canonical(found))) == (
        403,
        "expected a statement about sample 1.0 (linux/amd64), sequence 1, got one that names another recipe",
    )
    del found["predicate"]["buildDefinition"]["externalParameters"]["recipe"]
    assert refused(mounted, pae(PAYLOAD_TYPE, document.canonical(found))) == (
        403,
        "statement.predicate.buildDefinition.externalParameters.recipe: expected this field, got none",
    )


def test_the_key_signs_once_enough_operators_have_approved(mounted):
    public = read_public(mounted.get("keys/k", **FOUR_EYES)["public_key"])
    by(mounted, "approle/builder")
    propose(mounted)
    what = f"sample 1.0 (linux/amd64), sequence 1, sha256 {DIGEST}"
    assert refused(mounted, DATA) == (
        403,
        f"expected approvals of {what} by 2 operators, got 0: missing 2 of {ALICE}, {BOB}, {CAROL}",
    )
    for _ in range(2):
        told = by(mounted, ALICE).get(f"approvals/k/{DIGEST}")
    assert (told["missing"], told["operators"]) == (1, [BOB, CAROL])
    assert told["approvals"] == [
        {"operator": ALICE, "at": "2026-03-01T12:00:00Z", "until": "2026-03-08T12:00:00Z"},
    ]
    one = (403, f"expected approvals of {what} by 2 operators, got 1 ({ALICE}): missing 1 of {BOB}, {CAROL}")
    assert refused(by(mounted, "approle/builder"), DATA) == one
    assert refused(mounted, pae(PAYLOAD_TYPE, STATEMENT)) == one
    waiting = mounted.read("pending").data["pending"]
    assert [(found["key"], found["sha256"], found["missing"]) for found in waiting] == [("k", DIGEST, 1)]
    assert waiting[0]["proposed_by"] == "approle/builder"
    by(mounted, BOB).get(f"approvals/k/{DIGEST}")
    public.verify(sign(by(mounted, "approle/builder"), DATA), DATA)
    assert mounted.read("pending/k").data == {"pending": []}
    assert refused(mounted, OTHER, sha256(OTHER))[0] == 403


def test_who_does_not_count(mounted):
    mounted.get("keys/k", **FOUR_EYES)
    path = f"approvals/k/{DIGEST}"
    missing = (404, f"expected a document that was proposed to 'k', got {DIGEST}")
    assert by(mounted, ALICE).refusal(path) == missing
    propose(mounted)
    assert by(mounted, "").refusal(path) == (
        403,
        "expected the token of a login, got one that names nobody: log in as an operator, with a token of your own",
    )
    assert by(mounted, "userpass/mallory").refusal(path) == (
        403,
        f"expected one of the operators of this key, {ALICE}, {BOB}, {CAROL}, got userpass/mallory",
    )
    nothing = (404, "expected an approval of yours, got none")
    assert refusal(lambda: mounted.delete(path)) == nothing
    for name in (ALICE, BOB):
        by(mounted, name).get(path)
    mounted.delete(path)
    assert refused(mounted, DATA)[1].endswith(f"got 1 ({ALICE}): missing 1 of {BOB}, {CAROL}")
    mounted.get(path)
    mounted.pass_time(7 * 86400)
    assert refused(mounted, DATA)[1].endswith(f"got 0: missing 2 of {ALICE}, {BOB}, {CAROL}")


def test_one_approval_is_another_persons(mounted):
    mounted.get("keys/k", products="*", approvals=1, operators=f"{ALICE},{BOB}")
    propose(by(mounted, ALICE))
    mounted.get(f"approvals/k/{DIGEST}")
    assert refused(mounted, DATA)[1].endswith(f"by 1 operator, got 0: missing 1 of {BOB}")
    by(mounted, BOB).get(f"approvals/k/{DIGEST}")
    sign(by(mounted, ALICE), DATA)


def test_a_list_without_keys_needs_no_approval(mounted):
    mounted.get("keys/k", **FOUR_EYES)
    empty = parse_envelope(revocation_list(0, [], [OFFICER]))
    assert empty.payload_type == REVOCATIONS_TYPE
    sign(mounted, empty.message(), sha256(empty.payload))
    full = parse_envelope(revocation_list(1, [], [OFFICER]))
    assert refused(mounted, full.message(), sha256(full.payload))[1].startswith(
        f"expected approvals of revocations version 1, sha256 {sha256(full.payload)} by 2 operators, got 0"
    )


def test_a_policy_is_changed_by_those_whom_it_asks(mounted):
    mounted.get("keys/k", **FOUR_EYES)
    looser = {"products": ["*"]}
    assert mounted.refusal("keys/k/use", **looser)[1].startswith("expected approvals of use, sha256 ")
    proposed = mounted.get("keys/k/use/propose", **looser)
    assert json.loads(proposed["text"])["products"] == ["*"]
    for name in (ALICE, CAROL):
        by(mounted, name).get(f"approvals/k/{proposed['sha256']}")
    by(mounted, "")
    assert mounted.refusal("keys/k/use", products=["*"], until="2030-01-01T00:00:00Z")[0] == 403
    assert mounted.get("keys/k/use", **looser)["use"]["approvals"] == 0
    mounted.get("keys/k/use", **FOUR_EYES)
    # What was approved once is of its own number, and so does not come back.
    assert mounted.refusal("keys/k/use", **looser)[0] == 403
    assert mounted.read(f"proposals/k/{proposed['sha256']}").data["void"]
    old = base64.b64encode(proposed["text"].encode()).decode()
    assert mounted.refusal(f"proposals/k/{proposed['sha256']}", document=old) == (
        400,
        "use.number: expected 4, got 2",
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"products": ["*", "a"]}, "products: expected names of products, or '*' alone, got both"),
        ({"products": ["a b"]}, "products: expected different names without blanks, in order, got others"),
        ({"kinds": "all"}, "kinds: expected some of 'bundle', 'revocations', 'root', in this order, got others"),
        ({"approvals": 2, "operators": "a/b"}, "approvals: expected 0 to 1, the number of operators, got 2"),
        ({"operators": "a/b"}, "approvals: expected the number of operators that must approve, got none"),
        ({"until": "tomorrow"}, "until: expected a time such as '2026-01-31T12:00:00Z', got 'tomorrow'"),
        (
            {"approval_ttl": "-1s"},
            "Field validation failed: error converting input for field 'approval_ttl': expected duration",
        ),
        ({"algorithm": "rsa"}, "expected the algorithm 'sm2', 'ed25519', 'ecdsa-p256', got 'rsa'"),
    ],
)
def test_policies_that_say_nothing_clear_are_refused(mounted, fields, message):
    status, told = mounted.refusal("keys/k", **fields)
    assert (status in (400, 403), told) == (True, message)
    assert mounted.records.kept == {}


def test_a_proposal_is_forgotten_unless_it_was_signed(mounted):
    mounted.get("keys/k", **FOUR_EYES)
    propose(mounted)
    by(mounted, ALICE).get(f"approvals/k/{DIGEST}")
    assert mounted.list("proposals/k") == [DIGEST]
    mounted.delete(f"proposals/k/{DIGEST}")
    assert sorted(mounted.records.kept) == ["keys/k"]
    propose(mounted)
    for name in (ALICE, BOB):
        by(mounted, name).get(f"approvals/k/{DIGEST}")
    sign(mounted, DATA)
    kept = (400, "expected a proposal that nothing was signed for, got one that is signed")
    assert refusal(lambda: mounted.delete(f"proposals/k/{DIGEST}")) == kept


def test_what_is_not_there_is_told(mounted):
    assert mounted.refusal("sign/k/" + DIGEST, input="") == (404, "expected the key 'k', got no key at all")
    mounted.get("keys/k")
    assert mounted.refusal("sign/x/" + DIGEST, input="") == (404, "expected the key 'x', got 'k'")
    assert mounted.refusal("sign/k/AB", input="")[0] == 403
    digest = "expected a SHA-256 of 64 hexadecimal digits in lower case, got 'AB'"
    assert mounted.refusal("approvals/k/AB") == (400, digest)
    assert mounted.refusal(f"proposals/k/{DIGEST}", document=encode(OTHER)) == (
        400,
        "expected the document of this SHA-256, got another",
    )
    assert refusal(lambda: mounted.ask(Operation.LIST, "proposals/k", {})) == (404, "")
    assert mounted.refusal("keys/No") == (
        400,
        "expected a key name of 1 to 64 of a-z, 0-9, '.', '_' and '-', got 'No'",
    )


def test_an_operator_is_shown_nothing_that_deceives_him(mounted):
    mounted.get("keys/k", products="*")
    evil = document.canonical({**json.loads(DATA), "name": "sample\x1b[2J"})
    assert mounted.refusal(f"proposals/k/{sha256(evil)}", document=encode(evil)) == (
        403,
        "manifest.name: expected 1 to 255 printable characters, got another text",
    )
