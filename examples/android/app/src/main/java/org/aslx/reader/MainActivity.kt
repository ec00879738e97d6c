package org.aslx.reader

import android.Manifest
import android.graphics.Bitmap
import android.graphics.Color
import android.graphics.Matrix
import android.os.Bundle
import android.view.Gravity
import android.widget.FrameLayout
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.view.PreviewView
import androidx.core.content.ContextCompat
import com.google.mediapipe.framework.image.BitmapImageBuilder
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.RunningMode
import com.google.mediapipe.tasks.vision.handlandmarker.HandLandmarker
import com.google.mediapipe.tasks.vision.handlandmarker.HandLandmarkerResult
import java.util.concurrent.Executors

/** One screen: the front camera, and below it what was spelled. */
class MainActivity : ComponentActivity() {
    private val worker = Executors.newSingleThreadExecutor()
    private lateinit var preview: PreviewView
    private lateinit var shown: TextView
    private val read = StringBuilder()

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        preview = PreviewView(this)
        shown = TextView(this).apply {
            textSize = 28f
            setTextColor(Color.WHITE)
            setBackgroundColor(0x99000000.toInt())
            text = "Raise a hand and spell"
        }
        val below = FrameLayout.LayoutParams(-1, -2, Gravity.BOTTOM)
        setContentView(FrameLayout(this).apply { addView(preview); addView(shown, below) })
        registerForActivityResult(ActivityResultContracts.RequestPermission()) { given ->
            if (given) start() else shown.text = "This needs the camera"
        }.launch(Manifest.permission.CAMERA)
    }

    private fun start() {
        val cameras = ProcessCameraProvider.getInstance(this)
        cameras.addListener({
            val picture = Preview.Builder().build().apply { surfaceProvider = preview.surfaceProvider }
            val frames = ImageAnalysis.Builder()
                .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
                .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                .build()
            worker.execute { frames.setAnalyzer(worker, Frames()) }
            cameras.get().bindToLifecycle(this, CameraSelector.DEFAULT_FRONT_CAMERA, picture, frames)
        }, ContextCompat.getMainExecutor(this))
    }

    /** Made and used on the worker alone. */
    private inner class Frames : ImageAnalysis.Analyzer {
        private val recogniser = Recogniser(assets)
        private val clips = Clips(recogniser.frames)
        private val tracker = HandLandmarker.createFromOptions(
            this@MainActivity,
            HandLandmarker.HandLandmarkerOptions.builder()
                .setBaseOptions(BaseOptions.builder().setModelAssetPath("hand_landmarker.task").build())
                .setRunningMode(RunningMode.VIDEO)
                .setNumHands(2)
                .build(),
        )

        override fun analyze(image: ImageProxy) {
            val time = image.imageInfo.timestamp
            val upright = image.use(::upright)
            val found = tracker.detectForVideo(BitmapImageBuilder(upright).build(), time / 1_000_000)
            val hands = hands(found)
            clips.push(recogniser.rows.row(hands), hands.isNotEmpty(), time / 1e9)?.let { clip ->
                read.append(recogniser.read(clip)).append(' ')
                runOnUiThread { shown.text = read }
            }
        }
    }

    override fun onDestroy() {
        super.onDestroy()
        worker.shutdown()
    }
}

/** The frame turned upright and not mirrored: aslx was trained on pictures that are not mirrors. */
private fun upright(image: ImageProxy): Bitmap {
    val turn = Matrix().apply { postRotate(image.imageInfo.rotationDegrees.toFloat()) }
    val bitmap = image.toBitmap()
    return Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, turn, true)
}

/** Points by hand. From 0.10.15 on "Left" is the person's left hand in a picture that is no mirror. */
private fun hands(found: HandLandmarkerResult): Map<String, FloatArray> =
    found.landmarks().zip(found.handedness()).associate { (points, sides) ->
        val name = if (sides.first().categoryName() == "Left") "left_hand" else "right_hand"
        name to points.flatMap { listOf(it.x(), it.y(), it.z()) }.toFloatArray()
    }
