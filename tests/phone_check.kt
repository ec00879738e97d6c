// Runs examples/android's Reading.kt on a JVM, for tests/test_phone.py: MODE FOLDER.
package org.aslx.reader

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

fun floats(file: File): FloatArray {
    val values = ByteBuffer.wrap(file.readBytes()).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
    return FloatArray(values.remaining()).also { values.get(it) }
}

/** Frames of the left and the right hand, 63 values each; a hand that begins with NaN is lost. */
fun inputs(folder: File, frames: Int) {
    val columns = File(folder, "columns").readLines()
    val values = floats(File(folder, "hands"))
    val rows = Rows(columns)
    val clip = List(values.size / 126) { t ->
        val hands = listOf("left_hand", "right_hand").mapIndexed { i, hand ->
            hand to values.copyOfRange(t * 126 + i * 63, t * 126 + i * 63 + 63)
        }
        rows.row(hands.toMap().filterValues { !it[0].isNaN() })
    }
    val flat = padded(thinned(clip, frames), frames, columns.size)
    val out = ByteBuffer.allocate(flat.size * 4).order(ByteOrder.LITTLE_ENDIAN)
    flat.forEach { out.putFloat(it) }
    File(folder, "inputs").writeBytes(out.array())
}

fun main(args: Array<String>) {
    val folder = File(args[1])
    when (args[0]) {
        "inputs" -> inputs(folder, args[2].toInt())
        "text" -> print(text(floats(File(folder, "outputs")), File(folder, "answers").readText().split("\n")))
        "clips" -> {
            val clips = Clips(args[2].toInt())
            File(folder, "frames").forEachLine { line ->
                val (time, hand) = line.split(" ")
                clips.push(floatArrayOf(0f), hand == "1", time.toDouble())?.let { println(it.size) }
            }
        }
    }
}
