#!/usr/bin/env python3
"""An agent in miniature: Python 3.9 or later and openssl(1), nothing else.

    agent.py SERVER_JSON FOLDER

Enrols at the mock agent server that wrote SERVER_JSON, waits for a desired state that names a user,
gets that user a certificate, reports it, and shows it to the portal. Its files are in FOLDER.
"""
import base64, hashlib, http.client, json, os, secrets, ssl, subprocess, sys, time, urllib.parse

server = json.load(open(sys.argv[1]))
folder = sys.argv[2]
os.makedirs(folder, mode=0o700, exist_ok=True)


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, check=True, capture_output=True).stdout


def make_key(name):
    path = f"{folder}/{name}.key"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    os.chmod(path, 0o600)
    return path


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_jwk(key):
    """The last 64 bytes of a P-256 key's SubjectPublicKeyInfo are its point (RFC 5480)."""
    point = openssl("pkey", "-in", key, "-pubout", "-outform", "DER")[-64:]
    return {"kty": "EC", "crv": "P-256", "x": b64url(point[:32]), "y": b64url(point[32:])}


def sign(key, message):
    """r and s, 32 bytes each, out of the DER that openssl writes."""
    der = openssl("dgst", "-sha256", "-sign", key, data=message)
    r_end = 4 + der[3]
    r, s = der[4:r_end], der[r_end + 2 :]
    return b"".join(part.lstrip(b"\0").rjust(32, b"\0") for part in (r, s))


def signature_fields(label, keyid, key, method, uri, body):
    """HTTP message signature (RFC 9421) as the agent server wants it; see its /openapi.json."""
    covered = {"@method": method, "@target-uri": uri}
    fields = {}
    if body is not None:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        fields["content-digest"] = covered["content-digest"] = f"sha-256=:{digest}:"
    names = " ".join(f'"{name}"' for name in covered)
    parameters = (
        f"({names});created={int(time.time())};nonce=\"{b64url(secrets.token_bytes(16))}\""
        f';keyid="{keyid}";alg="ecdsa-p256-sha256";tag="device-trust"'
    )
    base = "\n".join([f'"{name}": {value}' for name, value in covered.items()]
                     + [f'"@signature-params": {parameters}'])
    signature = base64.b64encode(sign(key, base.encode())).decode()
    return {**fields, "signature-input": f"{label}={parameters}", "signature": f"{label}=:{signature}:"}


def call(method, path, body=None, keyid=None, key=None, headers=None):
    url = urllib.parse.urlsplit(server["agentUrl"])
    data = None if body is None else json.dumps(body).encode()
    context = ssl.create_default_context(cafile=server["serverCa"])
    connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=300)
    fields = {"content-type": "application/json", **(headers or {})}
    fields.update(signature_fields("device", keyid, key, method, server["agentUrl"] + path, data))
    connection.request(method, path, data, fields)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 400:
        sys.exit(f"{method} {path}: {answer.status} {text.decode()}")
    return answer, json.loads(text) if text else None


# 1. A device key, and the device's id for it.
device_key = make_key("device")
jwk = public_jwk(device_key)
canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
thumbprint = b64url(hashlib.sha256(canonical.encode()).digest())  # RFC 7638
about = {"hostname": "example", "osVersion": "1", "agentVersion": "0.0.1"}
_, enrolled = call("POST", "/v1/devices", {
    **about, "connectKey": server["connectKey"], "os": "linux", "publicKey": jwk,
}, thumbprint, device_key)
device = enrolled["deviceId"]
print(f"enrolled as {device}", flush=True)

# 2. What shall be: asked once, then held open until it changes (RFC 7240).
etag = None
while True:
    held = {"if-none-match": etag, "prefer": "wait=240"} if etag else {}
    answer, state = call("GET", f"/v1/devices/{device}/desired-state", None, device, device_key, held)
    etag = answer.headers["etag"] or etag
    if state and state["distribution"]["enabled"] and state["users"]:
        break
user = state["users"][0]

# 3. The user's key, and the one certificate request.
leaf_key = make_key("leaf")
csr = openssl("req", "-new", "-key", leaf_key, "-subj", "/CN=example").decode()
_, bundle = call("POST", f"/v1/devices/{device}/users/{user['userId']}/certificates",
                 {"csr": csr}, device, device_key)
with open(f"{folder}/chain.pem", "w") as chain:
    chain.write(bundle["leaf"] + bundle["intermediate"])
print(f"{user['username']} has serial {bundle['serial']} until {bundle['notAfter']}", flush=True)

# 4. The report: what is so now.
call("POST", f"/v1/devices/{device}/reports", {**about, "users": [
    {"userId": user["userId"], "state": "installed", "serial": bundle["serial"], "filters": []},
]}, device, device_key)

# 5. The portal's challenge, answered as a browser would.
portal = urllib.parse.urlsplit(server["portalUrl"])
context = ssl.create_default_context(cafile=server["serverCa"])
context.load_cert_chain(f"{folder}/chain.pem", leaf_key)
connection = http.client.HTTPSConnection(portal.hostname, portal.port, context=context, timeout=30)
connection.request("GET", "/challenge?" + urllib.parse.urlencode({"user": user["email"]}))
verdict = json.loads(connection.getresponse().read())
print(f"managed: {verdict['managed']} ({verdict['reason']})")
sys.exit(0 if verdict["managed"] else 1)
