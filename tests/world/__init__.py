"""What the world does to a program that writes: kills, full disks, refused permissions, files that change."""
