// A Matrix event as its reader sees it, in plain JSON.

import { EventShieldColour, EventShieldReason } from "matrix-js-sdk/lib/crypto-api/index.js";

/** True while the event's words are still on their way: it will be announced again once they are there, or missing. */
export function pending(event) {
    return event.status !== null || event.isBeingDecrypted() || event.shouldAttemptDecryption();
}

export async function describe(client, event) {
    const failed = event.isDecryptionFailure();
    const content = failed ? {} : event.getContent();
    return {
        room_id: event.getRoomId(),
        event_id: event.getId(),
        sender: event.getSender(),
        type: event.isRedacted() ? event.getWireType() : event.getType(),
        state_key: event.getStateKey() ?? null,
        content,
        body: text(content.body) ?? "",
        formatted_body: text(content.formatted_body),
        reply_to: event.replyEventId ?? null,
        replaces: event.isRelation("m.replace") ? (event.relationEventId ?? null) : null,
        edited: event.replacingEvent() !== null && event.replacingEvent() !== undefined,
        redacted: event.isRedacted(),
        encrypted: event.isEncrypted(),
        session_id: event.getWireContent().session_id ?? null,
        decryption_failure: failed ? text(event.getClearContent()?.body) : null,
        failure_code: event.decryptionFailureReason ?? null,
        ...(await shield(client, event)),
        txn: event.getUnsigned().transaction_id ?? null,
    };
}

/** The warning beside the message. Clear text where only ciphertext belongs is one the library leaves to the app. */
async function shield(client, event) {
    if (!event.isEncrypted()) {
        const alarming = !event.isState() && event.getType() === "m.room.message" && !event.isRedacted();
        return alarming && client.getRoom(event.getRoomId())?.hasEncryptionStateEvent()
            ? { shield: "red", shield_reason: "SENT_IN_CLEAR" }
            : { shield: "none", shield_reason: null };
    }
    const info = await client.getCrypto().getEncryptionInfoForEvent(event);
    if (info === null) return { shield: "none", shield_reason: null };
    return {
        shield: EventShieldColour[info.shieldColour].toLowerCase(),
        shield_reason: info.shieldReason === null ? null : EventShieldReason[info.shieldReason],
    };
}

const text = (value) => (typeof value === "string" ? value : null);
