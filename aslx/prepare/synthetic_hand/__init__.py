"""A kinematic hand that spells, and the body, the face and the camera around it.

In: phrases and signers. Out: landmarks as MediaPipe would give them, with noise and gaps.
"""
