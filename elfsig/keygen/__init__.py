"""Making key pairs for module signing: kinds of keys, certificates, the files they lie in, kernel configs."""
