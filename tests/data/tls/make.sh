#!/bin/sh
# Makes the certificates of this folder anew; needs OpenSSL 3. `openssl ca` because it can date them back.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat > "$tmp/ca.conf" <<EOF
[ca]
default_ca = it
[it]
database = $tmp/index
rand_serial = yes
unique_subject = no
new_certs_dir = $tmp
default_md = sha256
policy = any
default_startdate = 20200101000000Z
default_enddate = 21200101000000Z
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[server]
subjectAltName = IP:127.0.0.1
authorityKeyIdentifier = keyid
[client]
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
EOF
certificate() { # name, extensions, options of the signer
  name=$1 extensions=$2
  shift 2
  openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$tmp/$name.key"
  openssl req -new -config "$tmp/ca.conf" -key "$tmp/$name.key" -subj "/CN=stream-maas test $name" -out "$tmp/$name.csr"
  : > "$tmp/index"
  openssl ca -batch -notext -config "$tmp/ca.conf" -extensions "$extensions" -in "$tmp/$name.csr" -out "$name.pem" "$@"
}
certificate ca authority -selfsign -keyfile "$tmp/ca.key"
certificate other-ca authority -selfsign -keyfile "$tmp/other-ca.key"
certificate server server -cert ca.pem -keyfile "$tmp/ca.key"
certificate client client -cert ca.pem -keyfile "$tmp/ca.key"
cp "$tmp/server.key" server.key
openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:not-a-secret -in "$tmp/client.key" -out client.key
chmod 644 ./*.key ./*.pem
