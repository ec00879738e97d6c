import AVFoundation
import MediaPipeTasksVision
import SwiftUI

/// One screen: the front camera, and below it what was spelled.
@main
struct ReaderApp: App {
    @StateObject private var camera = Camera()

    var body: some Scene {
        WindowGroup {
            ZStack(alignment: .bottom) {
                Picture(session: camera.session).ignoresSafeArea()
                Text(camera.said).font(.title).padding().background(.thinMaterial)
            }
            .task { await camera.start() }
        }
    }
}

/// The camera's picture.
struct Picture: UIViewRepresentable {
    let session: AVCaptureSession

    final class Layered: UIView {
        override class var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }
    }

    func makeUIView(context: Context) -> Layered {
        let view = Layered()
        (view.layer as? AVCaptureVideoPreviewLayer)?.session = session
        return view
    }

    func updateUIView(_ view: Layered, context: Context) {}
}

/// Frames of the front camera -> text. All but `said` is used on one queue.
final class Camera: NSObject, ObservableObject, AVCaptureVideoDataOutputSampleBufferDelegate {
    @Published var said = "Raise a hand and spell"
    let session = AVCaptureSession()
    private let queue = DispatchQueue(label: "frames")
    private var tracker: HandLandmarker?
    private var recogniser: Recogniser?
    private let clips = Clips(most: Recogniser.longest)
    private var read = ""

    func start() async {
        guard await AVCaptureDevice.requestAccess(for: .video),
            let device = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .front),
            let input = try? AVCaptureDeviceInput(device: device)
        else { return tell("This needs the camera") }
        do {
            let options = HandLandmarkerOptions()
            let task = Bundle.main.path(forResource: "hand_landmarker", ofType: "task")
            options.baseOptions.modelAssetPath = task ?? ""
            options.runningMode = .video
            options.numHands = 2
            tracker = try HandLandmarker(options: options)
            recogniser = try Recogniser()
        } catch { return tell("\(error)") }
        let output = AVCaptureVideoDataOutput()
        output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
        output.setSampleBufferDelegate(self, queue: queue)
        session.addInput(input)
        session.addOutput(output)
        // Upright, and not mirrored: aslx was trained on pictures that are not mirrors.
        output.connection(with: .video)?.videoOrientation = .portrait
        output.connection(with: .video)?.isVideoMirrored = false
        queue.async { self.session.startRunning() }
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sample: CMSampleBuffer, from connection: AVCaptureConnection
    ) {
        let time = CMSampleBufferGetPresentationTimeStamp(sample).seconds
        guard let tracker, let recogniser, let image = try? MPImage(sampleBuffer: sample),
            let found = try? tracker.detect(videoFrame: image, timestampInMilliseconds: Int(time * 1000))
        else { return }
        let hands = Self.hands(found)
        let row = recogniser.rows.row(hands)
        guard let clip = clips.push(row, hand: !hands.isEmpty, time: time),
            let text = try? recogniser.read(clip)
        else { return }
        read += text + " "
        tell(read)
    }

    /// Points by hand. From 0.10.15 on "Left" is the person's left hand in a picture that is no mirror.
    private static func hands(_ found: HandLandmarkerResult) -> [String: [Float]] {
        var hands: [String: [Float]] = [:]
        for (points, sides) in zip(found.landmarks, found.handedness) {
            let name = sides.first?.categoryName == "Left" ? "left_hand" : "right_hand"
            hands[name] = points.flatMap { [$0.x, $0.y, $0.z] }
        }
        return hands
    }

    private func tell(_ text: String) {
        DispatchQueue.main.async { self.said = text }
    }
}
