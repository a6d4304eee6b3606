#!/bin/sh
# Makes the certificates anew. The keys open nothing: they are for servers on loopback, and the authority's key is thrown away.
set -eu
cd "$(dirname "$0")"
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1" 2>/dev/null; }
authority() {
  key "$1.key"
  openssl req -x509 -new -key "$1.key" -sha256 -days 36500 -subj "/CN=$1" -out "$1.pem" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" 2>/dev/null
}
sign() { # file, name, authority, from year, to year
  openssl req -new -key server.key -subj "/CN=$1" -out request
  printf 'subjectAltName=DNS:%s\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' "$2" >extensions
  printf 'subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' >>extensions
  rm -rf book && mkdir book && : >book/index && echo 1000 >book/serial
  printf '[ca]\ndefault_ca=d\n[d]\ndatabase=book/index\nserial=book/serial\nnew_certs_dir=book\n' >config
  printf 'default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' >>config
  openssl ca -batch -config config -cert "$3.pem" -keyfile "$3.key" -in request -out "$1.pem" -notext \
    -startdate "${4}0101000000Z" -enddate "${5}0101000000Z" -extfile extensions >/dev/null 2>&1
}
authority trusted
authority somebody
key server.key
sign good '*.films.example' trusted 2020 2120
sign wrong-name '*.other.example' trusted 2020 2120
sign expired '*.films.example' trusted 2010 2011
sign not-yet '*.films.example' trusted 2110 2120
sign unknown-authority '*.films.example' somebody 2020 2120
openssl req -x509 -new -key server.key -sha256 -days 36500 -subj "/CN=self-signed" -out self-signed.pem \
  -addext "subjectAltName=DNS:*.films.example" 2>/dev/null
rm -rf book request extensions config trusted.key somebody.key somebody.pem
