"""A professional and a patient meet the hub: help, a mistake, a language, a room for three."""

from __future__ import annotations

from hub.terminal.stage import SceneFailed, Stage


async def play(stage: Stage) -> None:
    """Everybody asks in his own words, and is answered where he asked."""
    doctor, patient = stage.person("dr.moreau"), stage.person("jeanne.martin")

    stage.tell("demo.scene.professional", person=doctor.name)
    room = await doctor.meet(stage.hub_id)
    stage.show(await doctor.hear(room, lambda message: message.sender == stage.hub_id))
    await stage.ask(doctor, room, "/aide")
    await stage.ask(doctor, room, "/lange en")
    answer = await stage.ask(doctor, room, "/langue en")
    if "English" not in str(answer.content.get("body")):
        raise SceneFailed("demo.wrong_answer", person=doctor.name)
    await stage.ask(doctor, room, "!whoami")
    await stage.ask(doctor, room, "/langue français")

    stage.tell("demo.scene.patient", person=patient.name)
    room = await patient.meet(stage.hub_id)
    stage.show(await patient.hear(room, lambda message: message.sender == stage.hub_id))
    await stage.ask(patient, room, "Bonjour")
    await stage.ask(patient, room, "j'ai mal au genou depuis hier")
    await stage.ask(patient, room, "AIDE")

    stage.tell("demo.scene.together", person=doctor.name, other=patient.name)
    room = await doctor.meet(stage.hub_id, patient.user_id)
    await patient.until(lambda: patient.invitations.get(room))
    await patient.member.join(room)
    await patient.until(lambda: patient.member.rooms.joined(room))
    await doctor.until(
        lambda: (
            doctor.member.rooms[room]
            if doctor.member.rooms[room].members.get(patient.user_id) == "join"
            else None
        )
    )
    stage.show(await doctor.hear(room, lambda message: message.sender == stage.hub_id))
    await stage.say(doctor, room, "Bonjour Madame Martin, comment allez-vous ?")
    stage.tell("demo.scene.silence")
    await stage.ask(patient, room, "Parcours: aide")
