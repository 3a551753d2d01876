// The child process that tests/interop/js.py talks to: a request a line on standard input, `{"id", "do", "with"}`; on
// standard output `{"id", "ok"}` or `{"id", "error"}` for each, and what happened meanwhile: `{"seen"}`, `{"withheld"}`,
// `{"bundle"}`, `{"changed"}`. It ends with its standard input, hence with the process that holds the other end.

import "./node20.mjs";
import { createInterface } from "node:readline";

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

const commands = {
    async sign_in(args) {
        // The server takes as long to check a password as we to load the library.
        const [session, { open }] = await Promise.all([logIn(args), import("./account.mjs")]);
        Object.assign(commands, await open(args, session, say));
        return { user_id: session.user_id, device_id: session.device_id };
    },
};

async function logIn({ url, user_id, password, device_name }) {
    const response = await fetch(`${url}/_matrix/client/v3/login`, {
        method: "POST",
        body: JSON.stringify({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: user_id },
            password,
            initial_device_display_name: device_name,
        }),
    });
    const answer = await response.json();
    if (!response.ok) throw Object.assign(new Error(answer.error), { errcode: answer.errcode });
    return answer;
}

async function answer({ id, do: command, with: args }) {
    try {
        say({ id, ok: (await commands[command](args)) ?? null });
    } catch (error) {
        say({ id, error: { name: error.name, errcode: error.errcode ?? null, message: error.message ?? String(error) } });
    }
}

process.on("unhandledRejection", (error) => console.error(error));
createInterface({ input: process.stdin })
    .on("line", (line) => void answer(JSON.parse(line)))
    .on("close", () => process.exit(0));
