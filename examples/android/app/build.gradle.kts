plugins {
    id("com.android.application") version "8.13.0"
    id("org.jetbrains.kotlin.android") version "2.2.21"
}

android {
    namespace = "org.aslx.reader"
    compileSdk = 36
    defaultConfig {
        applicationId = "org.aslx.reader"
        minSdk = 26
        targetSdk = 36
    }
    // LiteRT maps the model from the package, which must not compress it.
    androidResources { noCompress += listOf("tflite", "task") }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlin { jvmToolchain(17) }
}

dependencies {
    implementation("androidx.activity:activity-ktx:1.11.0")
    implementation("androidx.camera:camera-camera2:1.5.0")
    implementation("androidx.camera:camera-lifecycle:1.5.0")
    implementation("androidx.camera:camera-view:1.5.0")
    implementation("com.google.ai.edge.litert:litert:2.1.0")
    implementation("com.google.mediapipe:tasks-vision:0.10.26")
}
