package org.aslx.reader

import android.content.res.AssetManager
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import org.json.JSONArray
import org.json.JSONObject

/** An export of aslx in the folder `export` of the assets: model.json and the longest of its files of fixed lengths. */
class Recogniser(assets: AssetManager) : AutoCloseable {
    private val about = JSONObject(assets.open("export/model.json").reader().readText())
    private val answers = strings(about.getJSONArray("answers"))
    private val columns = strings(about.getJSONObject("input").getJSONArray("columns"))
    private val file = about.getJSONArray("web").run { getJSONObject(length() - 1) }
    val frames = file.getInt("frames")
    val rows = Rows(columns)

    private val model = CompiledModel.create(
        assets, "export/" + file.getString("file"), CompiledModel.Options(Accelerator.CPU),
    )
    // By name: the order of a signature's inputs is that of their names.
    private val inputs = listOf("inputs", "frames").associateWith { model.createInputBuffer(it) }
    private val outputs = mapOf("outputs" to model.createOutputBuffer("outputs"))

    fun read(clip: List<FloatArray>): String {
        val kept = thinned(clip, frames)
        inputs.getValue("inputs").writeFloat(padded(kept, frames, columns.size))
        inputs.getValue("frames").writeInt(intArrayOf(kept.size))
        model.run(inputs, outputs)
        return text(outputs.getValue("outputs").readFloat(), answers)
    }

    override fun close() {
        (inputs.values + outputs.values).forEach { it.close() }
        model.close()
    }
}

private fun strings(values: JSONArray) = List(values.length()) { values.getString(it) }
