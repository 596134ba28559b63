import { render } from "preact";

import { App } from "./app";
import { listen } from "./listening";
import { begin, page } from "./session";
import "./style/index.css";

const root = document.getElementById("page");
if (root) {
  listen();
  void begin(() => render(<App {...page} />, root));
}
