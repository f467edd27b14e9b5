"""Pods and Jobs that run an attempt: how each is written (`manifest`) and viewed (`observe`)."""
