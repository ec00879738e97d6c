"""Generator 2.0.0: hands of many people, who make characters in several ways, at any speed, before
any camera.

In: phrases. Out: landmarks as MediaPipe would give them, with its habits, noise and gaps, and the
frames in which each character is held. Kinematics, strokes, body and phrases are those of
`synthetic_hand`.
"""
