"""Making key pairs for module signing: kinds of keys, certificates, key files, kernel configurations."""
