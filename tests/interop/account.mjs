// One signed-in device of one account: what the driver may ask of it. Each function takes the request's arguments and
// answers with plain JSON; `announce` receives what happens meanwhile.

import * as sdk from "matrix-js-sdk/lib/index.js";
import { logger as everyone } from "matrix-js-sdk/lib/logger.js";
import {
    AllDevicesIsolationMode,
    CryptoEvent,
    OnlySignedDevicesIsolationMode,
    VerificationPhase,
    VerificationRequestEvent,
} from "matrix-js-sdk/lib/crypto-api/index.js";
import { describe, pending } from "./message.mjs";

const ISOLATION = {
    only_signed: () => new OnlySignedDevicesIsolationMode(),
    all: () => new AllDevicesIsolationMode(false),
};
const PATIENCE_MS = 20_000;
const TIMELINE_LIMIT = 200; // more than any test says: no gap to scroll back over

/** Starts the session's client; returns the commands once it synced and its keys are on the server. */
export async function open({ url, isolation, log_level }, session, announce) {
    const logger = logging(log_level);
    const published = Promise.withResolvers();
    let recoveryKey = null;
    const client = sdk.createClient({
        baseUrl: url,
        logger,
        userId: session.user_id,
        deviceId: session.device_id,
        accessToken: session.access_token,
        fetchFn: async (resource, options) => {
            const response = await fetch(resource, options);
            if (response.ok && String(resource).endsWith("/keys/upload")) published.resolve();
            return response;
        },
        cryptoCallbacks: {
            getSecretStorageKey: async ({ keys }) => (recoveryKey ? [Object.keys(keys)[0], recoveryKey] : null),
            cacheSecretStorageKey: (_id, _info, key) => (recoveryKey = key),
        },
    });
    await client.initRustCrypto({ useIndexedDB: false });
    const crypto = client.getCrypto();
    crypto.setDeviceIsolationMode(ISOLATION[isolation]());
    listen(client, announce);
    await client.startClient({ initialSyncLimit: TIMELINE_LIMIT, disablePresence: true });
    await until(client, "the first sync", () => client.isInitialSyncComplete());
    await published.promise;

    const room = (roomId) => client.getRoom(roomId);
    const memberOf = (roomId, userId) => room(roomId)?.getMember(userId)?.membership ?? null;
    const member = (roomId, userId, ...wanted) =>
        until(client, `${userId} to be ${wanted} in ${roomId}`, () => wanted.includes(memberOf(roomId, userId)));

    /** Sends once the room is known, so that an encrypted room is never mistaken for a clear one. */
    const send = async (roomId, type, content) => {
        await member(roomId, client.getUserId(), "join");
        return (await client.sendEvent(roomId, type, content)).event_id;
    };

    const publishIdentity = async (anew, password) => {
        await crypto.bootstrapCrossSigning({
            setupNewCrossSigning: anew,
            authUploadDeviceSigningKeys: withPassword(client, password),
        });
        await crypto.userHasCrossSigningKeys(); // asks the server: our own view then includes what we just uploaded
        const own = await crypto.getDeviceVerificationStatus(client.getUserId(), client.getDeviceId());
        if (!own?.signedByOwner) throw new Error("the device is not signed by its owner after bootstrapping");
        return await crypto.getCrossSigningKeyId();
    };

    const verifications = new Map(); // transaction id → request
    const sas = (id) => verifications.get(id).verifier?.getShowSasCallbacks();

    return {
        async request_verification({ user_id, room_id, device_id }) {
            await crypto.getUserDeviceInfo([user_id], true);
            const request = room_id
                ? await crypto.requestVerificationDM(user_id, room_id)
                : await crypto.requestDeviceVerification(user_id, device_id);
            request.on(VerificationRequestEvent.Change, () => announce({ changed: true }));
            verifications.set(request.transactionId, request);
            return request.transactionId;
        },
        verification_status({ id }) {
            const request = verifications.get(id);
            const shown = sas(id)?.sas;
            return {
                phase: VerificationPhase[request.phase].toLowerCase(),
                emoji: shown?.emoji?.map(([_symbol, name]) => name) ?? null,
                decimals: shown?.decimal ?? null,
                cancelled_by: request.cancellingUserId ?? null,
                code: request.cancellationCode,
            };
        },
        async start_sas({ id }) {
            const verifier = await verifications.get(id).startVerification("m.sas.v1");
            verifier.verify().catch(() => null); // how it ends is told by the request
        },
        confirm_sas: ({ id }) => sas(id).confirm(),
        mismatch_sas: ({ id }) => sas(id).mismatch(),
        cancel_verification: ({ id }) => verifications.get(id).cancel(),

        async bootstrap_cross_signing({ password }) {
            const exists = await crypto.userHasCrossSigningKeys();
            const ours = (await crypto.getCrossSigningStatus()).privateKeysCachedLocally.masterKey;
            if (exists && !ours) throw new Error("another device made this identity: recover it, or reset it");
            return await publishIdentity(false, password);
        },
        reset_cross_signing: ({ password }) => publishIdentity(true, password),

        async create_recovery_key() {
            const created = await crypto.createRecoveryKeyFromPassphrase();
            await crypto.bootstrapSecretStorage({
                setupNewSecretStorage: true,
                createSecretStorageKey: async () => created,
            });
            return created.encodedPrivateKey;
        },
        async recover({ recovery_key }) {
            const { decodeRecoveryKey } = await import("matrix-js-sdk/lib/crypto-api/recovery-key.js");
            recoveryKey = decodeRecoveryKey(recovery_key);
            await crypto.userHasCrossSigningKeys();
            return await publishIdentity(false, null);
        },
        async restore_backup() {
            await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
            await crypto.checkKeyBackupAndEnable();
            return (await crypto.restoreKeyBackup()).imported;
        },
        only_verified({ on }) {
            crypto.globalBlacklistUnverifiedDevices = on;
            return null;
        },

        async create_room({ name, invite, direct, version, encrypted }) {
            const { room_id } = await client.createRoom({
                name,
                invite,
                is_direct: direct,
                preset: direct ? "trusted_private_chat" : "private_chat",
                ...(version && { room_version: version }),
                initial_state: encrypted
                    ? [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }]
                    : [],
            });
            await until(
                client,
                `room ${room_id}`,
                () =>
                    [client.getUserId(), ...invite].every((user) => memberOf(room_id, user) !== null) &&
                    (!encrypted || room(room_id).hasEncryptionStateEvent()),
            );
            return room_id;
        },
        async invite({ room_id, user_id }) {
            await client.invite(room_id, user_id);
            await member(room_id, user_id, "invite", "join");
        },
        async join({ room_id }) {
            await client.joinRoom(room_id);
            await member(room_id, client.getUserId(), "join");
        },
        async leave({ room_id }) {
            await client.leave(room_id);
            await until(client, `leaving ${room_id}`, () => room(room_id)?.getMyMembership() !== "join");
        },
        async kick({ room_id, user_id }) {
            await client.kick(room_id, user_id);
            await member(room_id, user_id, "leave", null);
        },
        memberships: ({ room_id }) =>
            Object.fromEntries(room(room_id)?.currentState.getMembers().map((m) => [m.userId, m.membership]) ?? []),
        invites: () =>
            client
                .getRooms()
                .filter((r) => r.getMyMembership() === "invite")
                .map((r) => r.roomId),

        send_event: ({ room_id, type, content }) => send(room_id, type, content),
        async send_clear({ room_id, type, content }) {
            const path = `/rooms/${encodeURIComponent(room_id)}/send/${type}/${client.makeTxnId()}`;
            return (await client.http.authedRequest("PUT", path, undefined, content)).event_id;
        },
        async send_state({ room_id, type, state_key, content }) {
            return (await client.sendStateEvent(room_id, type, content, state_key)).event_id;
        },
        async redact({ room_id, event_id }) {
            return (await client.redactEvent(room_id, event_id)).event_id;
        },
        timeline: ({ room_id }) =>
            Promise.all(
                (room(room_id)?.getLiveTimeline().getEvents() ?? [])
                    .filter((event) => !pending(event))
                    .map((event) => describe(client, event)),
            ),

        set_isolation({ isolation }) {
            crypto.setDeviceIsolationMode(ISOLATION[isolation]());
        },
        async device_status({ user_id, device_id }) {
            await crypto.getUserDeviceInfo([user_id]); // waits for a device list that is being fetched
            const status = await crypto.getDeviceVerificationStatus(user_id, device_id);
            return {
                known: status !== null,
                signed_by_owner: status?.signedByOwner ?? false,
                cross_signing_verified: status?.crossSigningVerified ?? false,
                locally_verified: status?.localVerified ?? false,
            };
        },
        async user_status({ user_id }) {
            await crypto.getUserDeviceInfo([user_id]);
            const status = await crypto.getUserVerificationStatus(user_id);
            return {
                known: status.known,
                verified: status.isCrossSigningVerified(),
                was_verified: status.wasCrossSigningVerified(),
                needs_approval: status.needsUserApproval,
            };
        },
        logout: () => client.logout(true).then(() => null),
    };
}

function listen(client, announce) {
    let last = Promise.resolve(); // one after the other, so that they are announced in the order they happened
    const seen = (event) => {
        if (!event.getRoomId() || pending(event)) return;
        last = last
            .then(async () => announce({ seen: await describe(client, event) }))
            .catch((error) => console.error(error));
    };
    client.on(sdk.RoomEvent.Timeline, (event, _room, _toStart, removed) => removed || seen(event));
    client.on(sdk.RoomEvent.LocalEchoUpdated, seen);
    client.on(sdk.RoomEvent.Redaction, (event, room) => {
        const redacted = room.findEventById(event.getAssociatedId());
        if (redacted) seen(redacted);
    });
    client.on(sdk.MatrixEventEvent.Decrypted, seen);
    client.on(sdk.MatrixEventEvent.Replaced, seen);
    client.on(sdk.ClientEvent.ReceivedToDeviceMessage, ({ message }) => {
        const { type, sender, content } = message;
        if (/(^m|msc4268)\.room_key_bundle$/.test(type)) announce({ bundle: { type, sender, room_id: content.room_id } });
        if (type === "m.room_key.withheld")
            announce({
                withheld: {
                    sender,
                    code: content.code,
                    room_id: content.room_id ?? null,
                    session_id: content.session_id ?? null,
                },
            });
    });
    const changed = () => announce({ changed: true });
    client.on(sdk.ClientEvent.Sync, changed);
    client.on(CryptoEvent.UserTrustStatusChanged, changed);
    client.on(CryptoEvent.DevicesUpdated, changed);
}

/** The library makes a logger of its own for many a part; all of them are this one. */
function logging(lowest) {
    const levels = ["trace", "debug", "info", "warn", "error"];
    const heard = (level) => lowest !== "silent" && levels.indexOf(level) >= levels.indexOf(lowest);
    const logger = Object.fromEntries(levels.map((level) => [level, heard(level) ? console.error : () => {}]));
    everyone.setLevel(lowest, false);
    return Object.assign(logger, { getChild: () => logger });
}

/** Resolves when `holds()` after some sync. */
function until(client, what, holds) {
    if (holds()) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers();
    const check = () => holds() && resolve();
    const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), PATIENCE_MS);
    client.on(sdk.ClientEvent.Sync, check);
    return promise.finally(() => {
        clearTimeout(timer);
        client.off(sdk.ClientEvent.Sync, check);
    });
}

/** The server asks for the password again only when an identity is replaced. */
const withPassword = (client, password) => async (request) => {
    try {
        return await request(null);
    } catch (error) {
        if (error.httpStatus !== 401 || !password) throw error;
        return await request({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: client.getUserId() },
            password,
            session: error.data.session,
        });
    }
};
