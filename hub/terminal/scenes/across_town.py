"""A doctor of the city practice, on a homeserver of its own, meets the hospital's hub."""

from __future__ import annotations

from hub.terminal.stage import SceneFailed, Stage


async def play(stage: Stage) -> None:
    """Her homeserver is another one: she is answered as if it were the same."""
    doctor, surgeon = stage.person("dr.faure"), stage.person("dr.moreau")

    stage.tell("demo.scene.across_town", person=doctor.name)
    room = await doctor.meet(stage.hub_id)
    stage.show(await doctor.hear(room, lambda message: message.sender == stage.hub_id))
    await stage.ask(doctor, room, "/aide")
    answer = await stage.ask(doctor, room, "!whoami")
    if doctor.user_id not in str(answer.content.get("body")):
        raise SceneFailed("demo.wrong_answer", person=doctor.name)

    stage.tell("demo.scene.together", person=doctor.name, other=surgeon.name)
    room = await doctor.meet(stage.hub_id, surgeon.user_id)
    await surgeon.until(lambda: surgeon.invitations.get(room))
    await surgeon.member.join(room)
    await surgeon.until(lambda: surgeon.member.rooms.joined(room))
    stage.show(await doctor.hear(room, lambda message: message.sender == stage.hub_id))
    await stage.ask(surgeon, room, "Parcours: aide")
