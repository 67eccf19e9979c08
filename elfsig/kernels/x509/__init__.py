"""How the kernel reads an X.509 certificate: its ASN.1 decoder, its grammars, and what its callbacks want."""
