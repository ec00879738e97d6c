package org.aslx.reader

/** Columns of a row, as model.json lists them, from the hands of a frame; NaN for a lost hand. */
class Rows(columns: List<String>) {
    private class Place(val hand: String, val value: Int)

    private val places = columns.map { column ->
        val found = COLUMN.matchEntire(column)
            ?: throw IllegalArgumentException("the model reads $column, and this example tracks hands alone")
        val (axis, hand, point) = found.destructured
        Place(hand, point.toInt() * AXES.length + AXES.indexOf(axis))
    }

    /** `hands`: the 21 points of "left_hand" and "right_hand", each point's x, y and z in turn. */
    fun row(hands: Map<String, FloatArray>): FloatArray =
        FloatArray(places.size) { i -> hands[places[i].hand]?.get(places[i].value) ?: Float.NaN }

    companion object {
        const val AXES = "xyz"
        val COLUMN = Regex("([xyz])_(left_hand|right_hand)_(\\d+)")
    }
}

/** The flat input of a file of `frames` rows: the clip, row by row, then NaN. */
fun padded(clip: List<FloatArray>, frames: Int, columns: Int): FloatArray {
    val out = FloatArray(frames * columns) { Float.NaN }
    clip.forEachIndexed { t, row -> row.copyInto(out, t * columns) }
    return out
}

/** The clip, or `most` evenly spaced frames of a longer one. */
fun thinned(clip: List<FloatArray>, most: Int): List<FloatArray> =
    if (clip.size <= most) clip
    else List(most) { i -> clip[((i + 0.5) * clip.size / most).toInt()] }

/** The text of flat outputs: of each row the largest value; an index past the answers is no character. */
fun text(outputs: FloatArray, answers: List<String>): String {
    val width = answers.size + 1
    return buildString {
        for (row in 0 until outputs.size / width) {
            var best = 0
            for (i in 1 until width) {
                if (outputs[row * width + i] > outputs[row * width + best]) best = i
            }
            if (best < answers.size) append(answers[best])
        }
    }
}

/** Cuts a stream of frames into clips: from the first hand until the hands have rested. */
class Clips(private val most: Int) {
    private val clip = mutableListOf<FloatArray>()
    private var seen = 0
    private var end = 0
    private var last = 0.0
    private var due = Double.NaN

    /** The clip that ended with this frame, if one did. `time` in seconds. */
    fun push(row: FloatArray, hand: Boolean, time: Double): List<FloatArray>? {
        if (due.isNaN() || kotlin.math.abs(time - due) > BREAK) due = time
        // A slow phone's frame stands for the rows of its time: models were trained on RATE.
        val rows = maxOf(0, kotlin.math.floor((time - due) * RATE + 0.5).toInt() + 1)
        due += rows / RATE
        repeat(rows) {
            if (hand) {
                last = time
                seen += 1
            }
            if (hand || clip.isNotEmpty()) clip.add(row)
            if (hand) end = clip.size
            if (clip.isNotEmpty() && (time - last >= REST || clip.size >= most)) return ended()
        }
        return null
    }

    private fun ended(): List<FloatArray>? {
        val whole = if (seen >= LEAST) clip.take(end) else null
        clip.clear()
        seen = 0
        end = 0
        return whole
    }

    companion object {
        const val RATE = 30.0
        const val REST = 0.8
        const val LEAST = 4
        const val BREAK = 0.5
    }
}
