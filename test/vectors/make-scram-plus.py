#!/usr/bin/env python3
"""Computes scram-plus.json: the exchanges of scram.json, bound to a channel (RFC 5802, 5 to 7).

Shares nothing with src/: the hashes are Python's, the messages are put together by hand. The RFCs print no
exchange of a -PLUS mechanism. Run it in this folder: ./make-scram-plus.py >scram-plus.json
"""
import base64
import hashlib
import hmac
import json

BINDINGS = {
    'tls-exporter': bytes(range(32)),
    'tls-server-end-point': hashlib.sha256(b'a certificate').digest(),
}


def b64(data):
    return base64.b64encode(data).decode()


def bound(vector, binding_type, data):
    digest = {'1': 'sha1', '256': 'sha256', '512': 'sha512'}[vector['mechanism'].split('-')[-1]]
    mac = lambda key, text: hmac.new(key, text.encode(), digest).digest()
    header = f'p={binding_type},,'
    bare = vector['clientFirst'].removeprefix('n,,')
    nonce = bare.split('r=')[1] + vector['serverNonce']
    without_proof = f"c={b64(header.encode() + data)},r={nonce}"
    message = f"{bare},{vector['serverFirst']},{without_proof}"
    salted = hashlib.pbkdf2_hmac(
        digest, vector['password'].encode(), base64.b64decode(vector['salt']), vector['iterations']
    )
    client_key = mac(salted, 'Client Key')
    signature = mac(hashlib.new(digest, client_key).digest(), message)
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    return {
        **vector,
        'source': f"{vector['source']}, bound by {binding_type}",
        'mechanism': vector['mechanism'] + '-PLUS',
        'bindingType': binding_type,
        'bindingData': data.hex(),
        'clientFirst': header + bare,
        'clientFinal': f'{without_proof},p={b64(proof)}',
        'serverFinal': f"v={b64(mac(mac(salted, 'Server Key'), message))}",
    }


with open('scram.json') as file:
    plain = json.load(file)
vectors = [bound(each, *binding) for each in plain for binding in BINDINGS.items()]
print(json.dumps(vectors, indent=2))
