"""What the tests of ring 3 stand on: a node of one machine, with a real kubelet and containerd."""
