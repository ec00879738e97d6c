import Foundation
import TensorFlowLite

/// What this example uses of model.json.
struct About: Decodable {
    struct Input: Decodable {
        let columns: [String]
    }

    let input: Input
    let answers: [String]
    let max_frames: Int
}

/// An export of aslx: model.json and model.tflite, in the folder `export` of the app's bundle.
final class Recogniser {
    static let longest = 512  // Frames of a clip that are kept.
    let rows: Rows
    private let about: About
    private let interpreter: Interpreter

    init() throws {
        guard let folder = Bundle.main.url(forResource: "export", withExtension: nil) else {
            throw Unreadable.file("export")
        }
        let json = try Data(contentsOf: folder.appendingPathComponent("model.json"))
        about = try JSONDecoder().decode(About.self, from: json)
        rows = try Rows(columns: about.input.columns)
        let file = folder.appendingPathComponent("model.tflite").path
        interpreter = try Interpreter(modelPath: file)
    }

    /// The model takes a clip of any length: its one input is resized to it.
    func read(_ clip: [[Float]]) throws -> String {
        let kept = thinned(clip, most: Recogniser.longest)
        try interpreter.resizeInput(at: 0, to: [kept.count, about.input.columns.count])
        try interpreter.allocateTensors()
        let flat = kept.flatMap { $0 }
        try interpreter.copy(flat.withUnsafeBytes { Data($0) }, toInputAt: 0)
        try interpreter.invoke()
        let answer = try interpreter.output(at: 0).data
        let outputs = answer.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        return text(outputs, answers: about.answers)
    }
}
