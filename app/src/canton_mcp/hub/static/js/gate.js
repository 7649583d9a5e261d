// The page that is served to whoever is not signed in.

import { wire } from "./signin.js";

const root = /** @type {HTMLElement} */ (document.getElementById("signin"));
wire(root, () => location.reload());
document.getElementById("token")?.focus();
