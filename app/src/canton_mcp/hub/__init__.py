"""The DCAP hub: collects what servers send, keeps statistics and history, and shows them."""
