//! Layout of a ZIP archive whose every byte is known before the first is sent.
