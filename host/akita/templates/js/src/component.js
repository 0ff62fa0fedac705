// Joins the plugin to the contract in wit/. It is the only file that imports from the node, so that plugin.js runs in
// plain tests as well. To use `kv`: import it here, name it below, and add it to wit/world.wit.

import log from "akita:plugin/log@0.1.0";
import task from "akita:plugin/task@0.1.0";

import { connect } from "./akita/akita.js";
import plugin from "./plugin.js";

export const actions = connect(plugin, { log, task });
