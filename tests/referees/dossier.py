"""Checks a dossier from the standards alone: signed note, RFC 6962 tree, C2SP tiles, DSSE, in-toto, the seal.

Shares no code with Assize. Prints what it checked; ends with 1 at the first thing that does not hold.
"""
import base64, hashlib, json, pathlib, struct, sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha(data):
    return hashlib.sha256(data).digest()


def root_of(leaves):
    """RFC 6962, section 2.1."""
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha(b"\x01" + root_of(leaves[:split]) + root_of(leaves[split:]))


def tile_path(kind, number, width):
    groups = []
    while True:
        groups.insert(0, "%03d" % (number % 1000))
        number //= 1000
        if number == 0:
            break
    name = "/".join(["x" + g for g in groups[:-1]] + [groups[-1]])
    return "log/tile/%s/%s%s" % (kind, name, "" if width == 256 else ".p/%d" % width)


def main(folder):
    folder = pathlib.Path(folder)
    (key_file,) = (folder / "keys").iterdir()
    name, _, key = key_file.read_text().strip().split("+", 2)
    public = base64.b64decode(key)
    assert public[0] == 1, "an Ed25519 key"
    verifier = Ed25519PublicKey.from_public_bytes(public[1:])
    key_id = sha(name.encode() + b"\n" + public)[:4]

    text, signatures = (folder / "log/checkpoint").read_text().split("\n\n", 1)
    body = text + "\n"
    lines = [line.split(" ") for line in signatures.splitlines()]
    blob = next(base64.b64decode(line[2]) for line in lines if line[0] == "—" and line[1] == name)
    assert blob[:4] == key_id, "key id"
    verifier.verify(blob[4:], body.encode())
    origin, size, root = body.splitlines()[:3]
    size = int(size)

    entries = []
    for number in range((size + 255) // 256):
        width = min(256, size - number * 256)
        data = (folder / tile_path("entries", number, width)).read_bytes()
        while data:
            (length,) = struct.unpack(">H", data[:2])
            entries.append(data[2 : 2 + length])
            data = data[2 + length :]
    assert len(entries) == size, "entries"
    hashes = [sha(b"\x00" + entry) for entry in entries]
    assert base64.b64encode(root_of(hashes)).decode() == root, "root"
    level, tiles = 0, 0
    while hashes:
        for number in range((len(hashes) + 255) // 256):
            row = hashes[number * 256 : number * 256 + 256]
            assert (folder / tile_path(level, number, len(row))).read_bytes() == b"".join(row), "tile"
            tiles += 1
        hashes = [root_of(hashes[i : i + 256]) for i in range(0, len(hashes) - 255, 256)]
        level += 1

    statements = []
    for entry in entries:
        digest = json.loads(entry)["sha256"]
        raw = (folder / "envelopes" / (digest + ".json")).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == digest, "envelope digest"
        envelope = json.loads(raw)
        payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
        (signature,) = envelope["signatures"]
        pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        verifier.verify(base64.b64decode(signature["sig"]), pae)
        statement = json.loads(payload)
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        statements.append(statement)

    seal = statements[-1]
    assert seal["predicateType"] == "urn:assize:seal:v0.1", "the last statement seals"
    for file in seal["predicate"]["files"]:
        data = (folder / file["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["digest"]["sha256"], file["path"]
        assert len(data) == file["bytes"], file["path"]
    compute = [m for m in json.loads((folder / "evidence.json").read_text())["measurements"] if m["metric"] == "train.compute"]
    print("ok: origin %s, %d entries, %d tiles, %d signatures, %d files, train.compute %s FLOP"
          % (origin, size, tiles, size + 1, len(seal["predicate"]["files"]), compute[-1]["value"]))


main(sys.argv[1])
