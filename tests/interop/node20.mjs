// What matrix-js-sdk expects of its surroundings: one function younger than Node 20, and a standard output that nobody
// but the driver's protocol writes to. Imported first, for its effects.

Promise.withResolvers ??= function () {
    let resolve, reject;
    const promise = new this((ok, ko) => ([resolve, reject] = [ok, ko]));
    return { promise, resolve, reject };
};

for (const level of ["log", "info", "debug", "trace"]) console[level] = console.error;
