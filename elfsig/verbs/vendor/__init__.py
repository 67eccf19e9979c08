"""Modules against those that a vendor ships: in packages, trees and mirrors."""
